"""Paths that a user gives: every option, and every text that holds one, takes them in at one place."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from kdbench.cli.app import app
from kdbench.cli.values import imported_teachers
from kdbench.data.dataset import data_root
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.selection import load_grid
from kdbench.store.weights import save_weights
from tests.cli.support import kdbench
from tests.inputs.support import refused, tiny_grid, unchanged
from tests.inputs.test_fuzz import quickly

TAKERS = (paths.file, paths.folder, paths.path, paths.results_folder, paths.new_file, paths.new_folder)
#: Random paths tried of each option.
EACH = 40


def parameters(commands: typer.Typer, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Every parameter of every command: what is typed, what Python gets, and what typer is told."""
    for group in commands.registered_groups:
        yield from parameters(group.typer_instance, (*words, group.name))
    for command in commands.registered_commands:
        hints = get_type_hints(command.callback, include_extras=True)
        for name in inspect.signature(command.callback).parameters:
            kind, told = get_args(hints[name])
            yield f"{' '.join(filter(None, [*words, command.name]))} {name}", kind, told


ALL = list(parameters(app))
#: The options and arguments that are a path, found by how they are read.
OPTIONS = {words: told.parser for words, _, told in ALL if told.parser in TAKERS}


def test_no_option_reads_a_path_in_another_way() -> None:
    assert {words for words, kind, _ in ALL if Path in (kind, *get_args(kind)) or list[Path] in get_args(kind)} == {
        *OPTIONS
    }
    assert {"run results", "run data_dir", "run plugin", "check baseline", "check junit", "compare a"} < {*OPTIONS}


def of_variable(text: str) -> object:
    with pytest.MonkeyPatch.context() as patch:
        # As a plain dictionary, which takes what the system would not hand over.
        patch.setattr(os, "environ", {**os.environ, "KDBENCH_DATA": text})
        return data_root(None)


#: Texts that hold a path, and what reads them.
READERS: dict[str, Callable[[str], object]] = {
    **OPTIONS,
    "--teacher": lambda text: imported_teachers([f"resnet8={text}"], load_plugins()),
    "--grid": lambda text: load_grid(f"{text}.yaml", load_plugins()),
    "--grid, by a name": lambda text: load_grid(text, load_plugins()),
    "folder:": lambda text: load_plugins().dataset(f"folder:{text}").info(None),
    "parquet:": lambda text: load_plugins().dataset(f"parquet:{text}").info(None),
    "KDBENCH_DATA": of_variable,
}
#: What lies in the working folder of these tests.
PLACES = ("file", "folder", "nothing", "loop", "nothing/x", "loop/x", "file/x", "folder/pipe")
NAMES = st.sampled_from(
    [*PLACES, "", ".", "..", "~", "~root", "~nobody-has-this-name", "con", "é", " ", "-", "a" * 300]
)
TEXTS = st.lists(
    NAMES | st.text(st.characters(), max_size=6) | st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=3),
    max_size=4,
).map("/".join)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    Path("nothing").symlink_to("no-such-place")
    Path("loop").symlink_to("loop")
    os.mkfifo("folder/pipe")
    return tmp_path


@pytest.mark.parametrize("where", READERS)
def test_whatever_is_given_is_taken_or_refused_in_a_sentence(here: Path, where: str) -> None:
    @quickly(EACH)
    @given(TEXTS)
    def tried(text: str) -> None:
        try:
            READERS[where](text)
        except UserError as error:
            assert f"{error}" and "\n" not in f"{error}"

    with unchanged(here):
        tried()


@pytest.mark.parametrize("take", TAKERS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty path names nothing"),
        ("a\0b", "cannot be shown"),
        ("a\nb", "cannot be shown"),
        ("x/caf\udce9", "is not UTF-8"),
        ("a" * 256, "has a name of more than"),
        ("x/" * 2100, "too long for this system"),
        ("~nobody-has-this-name/x", r"write the path out \(\./~nobody-has-this-name"),
        ("nothing", r"nothing is a link to nothing \(no-such-place\)"),
        ("nothing/x", r"nothing is a link to nothing \(no-such-place\)"),
        ("loop", "cannot be reached"),
        ("loop/x", "cannot be reached"),
    ],
)
def test_what_is_no_path_of_anything(here: Path, take: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        take(text)


def test_what_is_taken_for_what_it_is(here: Path) -> None:
    for take in (paths.file, paths.new_file):
        assert take("file") == Path("file") and take("not-yet/there é") == Path("not-yet/there é")
        for text in ("folder", ".", "..", "/"):
            assert "is a folder, not a file; name a file" in refused(lambda take=take, text=text: take(text))
    for take in (paths.folder, paths.results_folder, paths.new_folder):
        assert take("folder") == Path("folder") and take(".") == Path()
        for text in ("file", "file/x", "file/x/y", "folder/pipe"):
            assert "is a file, not a folder; name a folder" in refused(lambda take=take, text=text: take(text))
    assert paths.path("file") == Path("file") and paths.path("folder") == Path("folder")
    assert paths.file("folder/pipe") and "is no regular file" in refused(lambda: paths.new_file("folder/pipe"))
    assert "Windows keeps" in refused(lambda: paths.results_folder("x/nul.d")) and paths.folder("x/nul.d")
    assert "more than" in refused(lambda: paths.new_file("a" * 240)) and paths.file("a" * 240)


def test_what_may_not_be_written_is_refused_before_anything_is_done(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda place, how: Path(place).name != "folder")
    for take in (paths.new_file, paths.new_folder):
        assert take("x/y") == Path("x/y")
        assert f"you may not write in {here / 'folder'}" in refused(lambda take=take: take("folder/x/y"))
    assert paths.folder("folder/x") == paths.results_folder("folder/x") == Path("folder/x")


def test_a_folder_that_may_not_be_read_or_entered_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda place, how: not (Path(place).name == "folder" and how & os.R_OK))
    for take in (paths.folder, paths.path, paths.results_folder, paths.new_folder):
        assert "you may not read the folder folder" in refused(lambda take=take: take("folder"))
        assert take("not-yet") == Path("not-yet")
    assert paths.path("file") == Path("file")
    result = kdbench("doctor", "--data-dir", "folder")
    assert result.code == 2 and "you may not read the folder folder" in result.err


def test_home(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert paths.results_folder("~/res") == here / "res" and paths.file("./~file") == Path("~file")
    assert paths.cache_folder() == here / ".cache/kdbench"
    assert load_plugins().dataset("folder:~/images").folder == here / "images"
    grid = tiny_grid(here)
    assert load_grid(f"~/{grid.name}", load_plugins()).dataset == "digits"
    network = load_plugins().architecture("resnet8").build(10)
    save_weights(network, here / "w.safetensors", "resnet8", 10, {})
    assert imported_teachers(["resnet8=~/w.safetensors"], load_plugins())["resnet8"][1] == here / "w.safetensors"


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_no_home(here: Path, monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    """As in a container whose user has no entry in the list of users."""
    monkeypatch.delenv("KDBENCH_DATA", raising=False)
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert "~ stands for no home folder here" in refused(lambda: paths.results_folder("~/res"))
    assert paths.cache_folder().is_absolute() and data_root(None) == paths.cache_folder() / "data"
    assert kdbench("doctor").code == 0


def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "working folder, which is gone" in refused(lambda: paths.results_folder("res"))
    assert paths.folder(str(tmp_path)) == tmp_path
