"""Looking after a results folder: what is damaged, what is left over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdbench.errors import UserError
from kdbench.store.claims import Claims
from kdbench.store.files import TEMPORARY, remove
from kdbench.store.records import Damaged, read_record
from kdbench.store.store import Store, checkpoint_versions
from kdbench.store.weights import verify_weights
from kdbench.training.checkpoint import read_checkpoint


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used, and which files to set aside so that its run is trained again."""

    path: Path
    what: str
    aside: tuple[Path, ...]


def problems(store: Store) -> Iterator[Problem]:
    """Verifies every record, checkpoint and weights file of a results folder."""
    store.files("weights", "")  # a folder that cannot be read is no damage of each file in it
    for path in store.files("records", ".json"):
        try:
            record = read_record(path)
        except UserError as error:
            yield Problem(path, _what(error), (path,))
            continue
        if record.weights_sha256:
            weights = store.weights_path(record.id)
            what = verify_weights(weights, record.weights_sha256)
            if what:
                yield Problem(weights, what, (weights, path))
    for path in store.files("checkpoints", ".safetensors"):
        try:
            read_checkpoint(path, path.name.partition(".")[0])
        except UserError as error:
            yield Problem(path, _what(error), (path,))


def _what(error: UserError) -> str:
    return error.problem if isinstance(error, Damaged) else str(error)


def repair(store: Store) -> list[tuple[Problem, list[Path]]]:
    """Set aside what is damaged, so that the next `kdbench run` trains its runs again; what, and where to."""
    return [
        (problem, [store.set_aside(path, "damaged") for path in problem.aside if path.exists()])
        for problem in problems(store)
    ]


def leftovers(store: Store) -> list[Path]:
    """Files that nothing needs any more: half-written ones, claims of processes that are gone, checkpoints of finished
    runs. Raises nothing for what other processes remove meanwhile; those that still write must not be running.
    """
    unfinished = [path for path in store.root.glob(f"**/.*{TEMPORARY}") if path.is_file()]
    finished = [path.stem for path in store.files("records", ".json")]
    checkpoints = [
        path for run in finished for path in checkpoint_versions(store.checkpoint_path(run)) if path.exists()
    ]
    return sorted({*unfinished, *checkpoints, *Claims(store.claims).abandoned()})


def collect(paths: list[Path]) -> int:
    """Remove files; the bytes that were freed."""
    freed = 0
    for path in paths:
        if path.exists():
            freed += path.stat().st_size
            remove(path)
    return freed
