"""Every file of the corpus is refused in a sentence, by its reader and by the command; nothing is run or written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kdbench.store import zoo
from tests import processes
from tests.cli.support import kdbench
from tests.inputs.corpus import CORPUS
from tests.inputs.support import READERS, check_refused, refused, tiny_grid, unchanged

#: The command that reads a file of this kind: the words that make it so, given the file and a sound grid.
COMMANDS: dict[str, Callable[[Path, Path], list[object]]] = {
    "grid": lambda path, _: ["run", "--grid", path],
    "baseline": lambda path, _: ["check", "--baseline", path],
    "weights": lambda path, grid: ["run", "--grid", grid, "--methods", "kd", "--teacher", f"resnet14={path}"],
    "zoo": lambda path, _: ["teachers", "import", path, "--arch", "resnet8", "--data-dir", "none"],
    "folder": lambda path, grid: ["run", "--grid", grid, "--dataset", f"folder:{path}"],
    "parquet": lambda path, grid: ["run", "--grid", grid, "--dataset", f"parquet:{path}"],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an empty folder `files` in it."""
    monkeypatch.chdir(tmp_path)
    # One more than thousands takes seconds to write.
    monkeypatch.setattr(zoo, "MAX_TENSORS", 200)
    (tmp_path / "files").mkdir()
    return tmp_path


@pytest.mark.parametrize(("kind", "name"), CORPUS)
def test_its_reader_refuses_it(place: Path, kind: str, name: str) -> None:
    path = CORPUS[kind, name](place / "files", place / "canary")
    with unchanged(place):
        refused(lambda: READERS[kind](path))


@pytest.mark.parametrize(("kind", "name"), [key for key in CORPUS if key[0] in COMMANDS])
def test_the_command_refuses_it(place: Path, kind: str, name: str) -> None:
    path, grid = CORPUS[kind, name](place / "files", place / "canary"), tiny_grid(place)
    with unchanged(place):
        result = kdbench(*COMMANDS[kind](path, grid))
    check_refused(result)


def test_a_process_of_its_own_says_one_line_and_runs_nothing(place: Path) -> None:
    path = CORPUS["zoo", "code beside the weights, zip"](place / "files", place / "canary")
    with unchanged(place):
        done = processes.run("teachers", "import", path, "--arch", "resnet8")
    check_refused(done)
    assert done.out == "" and "holds more than tensors, numbers and options, so it is not loaded" in done.err
