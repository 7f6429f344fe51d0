"""Small files that kdbench can make again."""

import os
from pathlib import Path

import pytest

from kdbench.cli import completion
from kdbench.inputs.paths import cache_folder
from kdbench.model import Architecture
from kdbench.plugins import load_plugins
from kdbench.shapes import shapes_of
from kdbench.store import kept
from kdbench.training.concurrency import remembered

FILES = ["concurrency.json", "names.json", "shapes.json"]


def keep_all() -> None:
    registry = load_plugins()
    shapes_of(registry, "resnet8", 10, 8)
    completion.keep(registry)
    remembered("a", lambda: 4)


def test_a_home_that_is_relative_or_not_there_is_none(tmp_path, monkeypatch):
    """What is kept lies in the system's temporary folder then, and nothing in the working folder."""
    for name in ("work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(kept, "cache_folder", cache_folder)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", "relative")
    keep_all()
    assert not list(Path().iterdir())
    (folder,) = (tmp_path / "temporary").glob("kdbench-*")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    monkeypatch.setattr("kdbench.plugins.load_plugins", lambda: pytest.fail("the names are known"))
    assert completion.names("method")("simk") == ["simkd"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner's number here")
def test_what_another_user_put_there_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    keep_all()
    asked = []
    monkeypatch.setattr(Architecture, "shapes", lambda self, *sizes: asked.append(self.name))
    shapes_of(load_plugins(), "resnet8", 10, 8)
    assert remembered("a", lambda: 8) == 4 and not asked
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert not any(kept.entries(name) for name in FILES)
    assert remembered("a", lambda: 8) == 8


def test_entries_are_put_beside_others_and_the_latest_are_left(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    for key in "abca":
        kept.add("some.json", {key: 1}, most=2)
    assert list(kept.entries("some.json")) == ["c", "a"]
