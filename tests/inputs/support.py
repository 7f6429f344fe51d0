"""What the tests of inputs share: the readers of each kind of file, and what a refusal is."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdbench.cells import Expansion
from kdbench.cli.values import parse_settings
from kdbench.data.folder import Folder
from kdbench.data.parquet import Parquet
from kdbench.gate.baseline import read_baseline
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.selection import Selection, load_grid
from kdbench.store.records import read_record
from kdbench.store.weights import load_weights
from kdbench.store.zoo import read_zoo_checkpoint
from kdbench.training import checkpoint
from kdbench.training.checkpoint import load_checkpoint
from kdbench.training.member import Member
from tests.cli.support import TINY_GRID, Result
from tests.support import STUDENT
from tests.training.support import CPU, noise_dataset, runs

#: A zoo's names for the networks of these tests are our own.
ARCHITECTURE = replace(STUDENT, zoo_keys=())
CLASSES = 5


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return STUDENT.build(CLASSES)


@functools.cache
def run_of_records():
    """The run that records and checkpoints of these tests belong to."""
    return runs("student")[0]


def member() -> Member:
    return Member(run_of_records(), load_plugins(), noise_dataset(), None, None, CPU)


def read_grid(path: Path) -> None:
    """All that happens to a grid's file before anything is trained."""
    registry = load_plugins()
    grid = load_grid(str(path), registry)
    Expansion(grid, registry, registry.dataset(grid.dataset).info(None))


def read_checkpoint(path: Path) -> None:
    load_checkpoint(checkpoint.read_checkpoint(path, run_of_records().id), member())


def read_setting(text: str, grid: Path) -> None:
    """All that happens to a `--set` option before anything is trained."""
    registry = load_plugins()
    recipe, params, networks = parse_settings([text])
    chosen = load_grid(str(grid), registry, Selection(recipe=recipe, params=params, networks=networks))
    Expansion(chosen, registry, registry.dataset(chosen.dataset).info(None))


READERS: dict[str, Callable[[Path], object]] = {
    "grid": read_grid,
    "baseline": read_baseline,
    "record": read_record,
    "checkpoint": read_checkpoint,
    "weights": lambda path: load_weights(network(), path, STUDENT.name),
    "zoo": lambda path: read_zoo_checkpoint(path, ARCHITECTURE, CLASSES),
    "folder": lambda path: Folder().with_argument(str(path)).load(None),
    "parquet": lambda path: Parquet().with_argument(str(path)).load(None),
}


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Nothing in `folder` comes, goes or changes."""
    before = listing(folder)
    yield
    assert listing(folder) == before


def listing(folder: Path) -> dict[str, str]:
    """Every path below a folder, with what it is: a digest, `folder`, `pipe` or a link's target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            what = f"→ {path.readlink()}"
        elif path.is_file():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            what = "folder" if path.is_dir() else "pipe"
        found[str(path.relative_to(folder))] = what
    return found


def refused(read: Callable[[], object]) -> str:
    """The one sentence with which something is refused."""
    with pytest.raises(UserError) as error:
        read()
    sentence = str(error.value)
    assert sentence and "\n" not in sentence and "Traceback" not in sentence
    return sentence


def tiny_grid(folder: Path) -> Path:
    path = folder / "sound.yaml"
    path.write_text(TINY_GRID)
    return path


def check_refused(result: Result) -> None:
    """Exit code 2 and one sentence on standard error."""
    assert result.code == 2 and result.err.startswith("kdbench: ") and result.err.count("\n") == 1, result
