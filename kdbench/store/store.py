"""The results folder: what lies where in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kdbench.inputs.errors import UserError
from kdbench.store.files import free_name, in_the_way, move, remove, write_together
from kdbench.store.records import Damaged, Record, dump_record, read_record


@dataclass
class Found:
    """Records by run id, and what is wrong with the files that are none."""

    records: dict[str, Record] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)


class Store:
    """A results folder.

    `records/ID.json`; `checkpoints`, `weights` and, if asked for, `final/ID.safetensors`; `claims/ID.N` while a process
    trains the run; `contents/DIGEST.sha256`, the digest of what a streamed data set's files hold; `damaged/` and
    `replaced/` hold what was set aside.
    """

    FOLDERS = ("records", "checkpoints", "weights", "final", "claims", "contents", "damaged", "replaced")

    def __init__(self, root: Path):
        self.root = root

    @property
    def records(self) -> Path:
        """Where the records lie."""
        return self.root / "records"

    def record_path(self, run_id: str) -> Path:
        """Where the record of a run lies."""
        return self.records / f"{run_id}.json"

    def checkpoint_path(self, run_id: str) -> Path:
        """Where the state of an unfinished run lies."""
        return self.root / "checkpoints" / f"{run_id}.safetensors"

    def weights_path(self, run_id: str) -> Path:
        """Where the deployed weights of a finished run lie."""
        return self.root / "weights" / f"{run_id}.safetensors"

    def final_path(self, run_id: str) -> Path:
        """Where the whole state of a finished run lies, its method's own modules included, if it was to be kept."""
        return self.root / "final" / f"{run_id}.safetensors"

    def contents_path(self, data_sha256: str) -> Path:
        """Where the digest lies of what the files of a streamed data set hold, once it was asked for."""
        return self.root / "contents" / f"{data_sha256}.sha256"

    @property
    def claims(self) -> Path:
        """Where processes say what they train."""
        return self.root / "claims"

    def files(self, folder: str, suffix: str) -> list[Path]:
        """The files of that suffix in one of its folders. Raises `UserError` where there is one that cannot be read."""
        place = self.root / folder
        try:
            return sorted(path for path in place.iterdir() if path.name.endswith(suffix))
        except FileNotFoundError:
            return []
        except OSError as error:
            if blocking := in_the_way(place):
                raise UserError(f"{blocking} is a file, not a folder; name a folder") from error
            raise UserError(
                f"{place} cannot be read ({error.strerror}); name another folder with --results, or mend its "
                "permissions, and give the same command again."
            ) from error

    def record(self, run_id: str) -> Record | None:
        """The record of a run, or None; `UserError` if the file is there but damaged or of another format."""
        try:
            return read_record(self.record_path(run_id))
        except FileNotFoundError:
            # Nor is it looked for first: another process may set it aside meanwhile.
            return None

    def find(self) -> Found:
        """All records. A damaged one hides no other; `UserError` for one of another format."""
        found = Found()
        for path in self.files("records", ".json"):
            try:
                record = self.record(path.stem)
                if record:
                    found.records[path.stem] = record
            except Damaged as damage:
                found.damaged.append(damage)
        return found

    def write(self, record: Record) -> None:
        """Keep a record, then drop the checkpoints of its run: from here on the run is finished."""
        self._write({record.id: dump_record(record)})

    def keep(self, record: Record) -> None:
        """Write a record, unless it is a failure and the run is finished: who trained it may have stood still until
        another had taken it over.
        """
        self.keep_dumped([(record, dump_record(record))])

    def keep_dumped(self, records: Iterable[tuple[Record, bytes]]) -> None:
        """`keep` for several, each with what `dump_record` made of it."""
        self._write({record.id: dumped for record, dumped in records if not self._has_better(record)})

    def _has_better(self, record: Record) -> bool:
        before = self.record(record.id) if record.status == "failed" else None
        return before is not None and before.status != "failed"

    def _write(self, dumped: Mapping[str, bytes]) -> None:
        write_together({self.record_path(run_id): data for run_id, data in dumped.items()})
        for run_id in dumped:
            for path in checkpoint_versions(self.checkpoint_path(run_id)):
                remove(path)

    def set_aside(self, path: Path, folder: str) -> Path:
        """Move a file out of the way, into `damaged` or `replaced`; nothing there is overwritten. Its new place."""
        target = free_name(self.root / folder / path.name)
        move(path, target)
        return target

    def start_anew(self, run_id: str) -> None:
        """Set aside whatever there is of a run, so that it is trained from the beginning."""
        checkpoint = self.checkpoint_path(run_id)
        for path in (*checkpoint_versions(checkpoint), self.record_path(run_id)):
            if path.exists():
                self.set_aside(path, "replaced")


def checkpoint_versions(path: Path) -> tuple[Path, Path]:
    """The newest checkpoint of a run, and the one before."""
    return path, path.with_name(f"{path.stem}.previous{path.suffix}")
