"""`kdbench run` when runs fail and disks are full."""

import errno

import pytest

from kdbench.execution import space
from kdbench.store import files
from kdbench.store.files import Disk
from kdbench.store.store import Store
from tests.cli.support import TINY_GRID, kdbench, tiny_grid

PLUGIN = """
import kdbench


class Broken(kdbench.Method):
    name = "broken"
    formula = {"ce": "CE"}

    def terms(self, student, teacher, batch):
        raise RuntimeError("out of ideas")

    @classmethod
    def weights(cls, params):
        return {"ce": 1.0}


@kdbench.hookimpl
def kdbench_methods():
    return [Broken]
"""
#: The failing method first; its seeds are two cohorts, one after the other.
GRID = TINY_GRID.replace("rows: [", "rows: [{method: broken}, ")


@pytest.fixture
def words(tmp_path):
    (tmp_path / "broken.py").write_text(PLUGIN)
    grid = tiny_grid(tmp_path, GRID)
    plugin = ("--plugin", tmp_path / "broken.py")
    return "run", "--grid", grid, *plugin, "--results", tmp_path / "results", "--workers", 1


def statuses(folder):
    return sorted(record.status for record in Store(folder / "results").find().records.values())


def test_a_plugin_s_failure_is_told_with_where_it_comes_from(words, tmp_path):
    done = kdbench(*words)
    assert done.code == 1 and "2 runs failed" in done.out and "Traceback" not in done.out + done.err
    assert statuses(tmp_path) == ["done"] * 5 + ["failed"] * 2
    failed = [r for r in Store(tmp_path / "results").find().records.values() if r.status == "failed"]
    for record in failed:
        line = PLUGIN[: PLUGIN.index("raise")].count("\n") + 1
        place = f'at broken.py:{line}: `raise RuntimeError("out of ideas")`'
        assert record.failure.reason == f"RuntimeError: out of ideas, {place}" and place in done.out
        assert "broken.py" in record.failure.traceback
        assert record.source.distribution and record.source.version is not None


@pytest.mark.parametrize("limit", [("--fail-fast",), ("--max-failures", 1)])
def test_a_limit_of_failures_stops_the_rest(words, tmp_path, limit):
    done = kdbench(*words, *limit)
    assert done.code == 1 and "Stopped after 1 failed run;" in done.out and "To go on: kdbench run" in done.out
    assert statuses(tmp_path).count("failed") == 1 and statuses(tmp_path).count("done") < 5
    assert kdbench(*words, "--max-failures", 3).code == 1
    assert statuses(tmp_path) == ["done"] * 5 + ["failed"] * 2


def test_too_little_room_is_told_before_training(words, tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free_bytes", lambda folder: 1000)
    done = kdbench(*words)
    assert done.code == 2 and "has 0.00 GB free, but training needs about" in done.err
    assert statuses(tmp_path) == []


class Full(Disk):
    """Has room for so many bytes."""

    def __init__(self, room):
        self._room = room

    def write(self, file, data):
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, data)


@pytest.mark.parametrize("room", [0, 2_000_000])
def test_a_disk_that_fills_stops_cleanly_and_keeps_what_is_finished(words, tmp_path, monkeypatch, room):
    monkeypatch.setattr(files, "disk", Full(room))
    done = kdbench(*words)
    assert done.code == 2 and "(No space left on device)" in done.err and "Traceback" not in done.err
    kept = statuses(tmp_path)
    assert ("what is finished is kept, and the same command goes on from there." in done.err) == (room > 0)
    assert (not kept) == (not room) and not list((tmp_path / "results").rglob("*.tmp"))
    monkeypatch.setattr(files, "disk", Disk())
    assert kdbench(*words).code == 1
    assert statuses(tmp_path) == ["done"] * 5 + ["failed"] * 2


def test_a_folder_that_cannot_be_written_is_told_before_training(words, tmp_path):
    (tmp_path / "results").write_text("a file")
    done = kdbench(*words)
    results = tmp_path / "results"
    assert (done.code, done.err) == (2, f"kdbench: {results} is a file, not a folder; name a folder\n")


def test_a_misspelt_implementation_of_the_losses_is_refused_before_anything_trains(tmp_path, monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "inductr")
    told = kdbench("run", "--grid", tiny_grid(tmp_path), "--results", tmp_path / "results", "--workers", 1)
    assert told.code == 2 and "did you mean 'inductor'" in told.err
    assert not list((tmp_path / "results").rglob("*.json"))
