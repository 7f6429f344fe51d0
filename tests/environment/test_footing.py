"""The files that a process was made of."""

import sys
import time
from pathlib import Path

import pytest

from kdbench.environment import footing
from kdbench.environment.footing import Footing, footing_of_process, state_of


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that is loaded, with a file beside its module, and a place where modules are looked for."""
    folder = tmp_path / "footed"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "numbers.yaml", "inner/more.yaml", ".hidden"):
        (folder / name).write_text("# \n")
    (tmp_path / "footed-1.0.dist-info").mkdir()
    (tmp_path / "unrelated.txt").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "footed", raising=False)
    __import__("footed")
    yield folder
    del sys.modules["footed"]


def test_modules_packages_and_what_is_installed(package):
    found = footing_of_process(["footed"])
    assert found.files[str(package)] == ["__init__.py", "numbers.yaml"]
    assert found.files[str(package / "inner")] == ["more.yaml"]
    assert found.files[str(package.parent)] == ["footed-1.0.dist-info"]
    assert {str(package), str(package / "inner"), str(package.parent)} <= {*found.folders}
    assert "footing.py" in found.files[str(Path(footing.__file__).parent)], "any module that is loaded"
    assert footing_of_process([]).files[str(package)] == ["__init__.py"], "of other packages what is loaded"


def test_two_together():
    both = Footing.of(["/a/x", "/b/y"], ["/a"]) | Footing.of(["/a/z", "/a/x"], ["/c", "/a"])
    assert both == Footing({"/a": ["x", "z"], "/b": ["y"]}, ["/a", "/c"])


def test_files_that_are_too_many(package, monkeypatch):
    monkeypatch.setattr(footing, "MOST", 2)
    with pytest.raises(OSError, match="too many"):
        footing_of_process(["footed"])


CHANGES = {
    "content": lambda folder: (folder / "numbers.yaml").write_text("# 2\n"),
    "file in the place of another": lambda folder: (folder / "other").replace(folder / "numbers.yaml"),
    "new name": lambda folder: (folder / "new.py").touch(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_state_changes_with_its_files(package, change):
    (package / "other").write_text("# \n")
    files = Footing({str(package): ["__init__.py", "numbers.yaml"]}, [str(package)])
    before = state_of(files)
    (package / "__pycache__").mkdir(exist_ok=True)
    assert state_of(files) == before
    change(package)
    assert state_of(files).digest != before.digest


def test_a_file_that_is_gone(package):
    with pytest.raises(FileNotFoundError):
        state_of(Footing.of([f"{package}/gone.py"]))


def test_what_is_written_while_a_process_works_is_not_settled(package, monkeypatch):
    files = Footing.of([f"{package}/__init__.py"])
    assert not state_of(files).settled
    monkeypatch.setattr(footing, "_BEGAN", time.time() + 60)
    assert state_of(files).settled
