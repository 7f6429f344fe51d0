"""Looking after a results folder: what is damaged, what is left over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdbench.inputs.errors import UserError
from kdbench.store.claims import Claims
from kdbench.store.files import is_temporary, remove
from kdbench.store.records import Damaged, Record, read_record
from kdbench.store.store import Store, checkpoint_versions
from kdbench.store.weights import verify_weights
from kdbench.training.checkpoint import read_checkpoint

#: A half-written file that has not been touched for so long, in seconds, is nobody's any more.
WRITING_SECONDS = 60.0


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used, and which files to set aside so that its run is trained again.

    None where it is no damage: what another version of kdbench wrote, or what only cannot be read now.
    """

    path: Path
    what: str
    aside: tuple[Path, ...]


def problems(store: Store) -> Iterator[Problem]:
    """Verifies every record, checkpoint and weights file of a results folder."""
    store.files("weights", "")  # a folder that cannot be read is no damage of each file in it
    for path in store.files("records", ".json"):
        try:
            record = read_record(path)
        except FileNotFoundError:  # gone meanwhile
            continue
        except UserError as error:
            yield _problem(path, error)
            continue
        weights = store.weights_path(record.id)
        if record.weights_sha256 and (weights.exists() or _rested_on(record)):
            what = verify_weights(weights, record.weights_sha256)
            if what:
                yield Problem(weights, what, (weights, path))
    for folder in ("checkpoints", "final"):
        for path in store.files(folder, ".safetensors"):
            try:
                read_checkpoint(path, path.name.partition(".")[0])
            except FileNotFoundError:  # its run has ended meanwhile
                continue
            except UserError as error:
                yield _problem(path, error)


def _problem(path: Path, error: UserError) -> Problem:
    if isinstance(error, Damaged):
        return Problem(path, error.problem, (path,))
    return Problem(path, str(error), ())


def _rested_on(record: Record) -> bool:
    """Whether other runs need its weights; a student's may be removed."""
    return record.run.role != "student"


def repair(store: Store) -> list[tuple[Problem, list[Path]]]:
    """Set aside what is damaged, so that the next `kdbench run` trains its runs again; what, and where to."""
    return [
        (problem, [store.set_aside(path, "damaged") for path in problem.aside if path.exists()])
        for problem in problems(store)
        if problem.aside
    ]


def leftovers(store: Store) -> list[Path]:
    """Files that nothing needs any more: half-written ones, claims of processes that are gone, checkpoints of finished
    runs. Raises nothing for what other processes remove meanwhile, and leaves what they are writing.
    """
    # Its own folders alone: one that was misspelt may be anything.
    places = (".", *store.FOLDERS)
    temporary = [path for place in places for path in store.files(place, ".tmp") if is_temporary(path)]
    unfinished = [path for path in temporary if _untouched(path)]
    # A run that failed, or whose record is damaged, may have begun anew.
    finished = [record.id for record in store.find().records.values() if record.status != "failed"]
    checkpoints = [
        path for run in finished for path in checkpoint_versions(store.checkpoint_path(run)) if path.exists()
    ]
    return sorted({*unfinished, *checkpoints, *Claims(store.claims).abandoned()})


def _untouched(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime >= WRITING_SECONDS
    except FileNotFoundError:  # whole meanwhile
        return False


def collect(paths: list[Path]) -> int:
    """Remove files; the bytes that were freed."""
    freed = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            freed += path.stat().st_size
            remove(path)
    return freed
