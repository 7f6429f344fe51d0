"""Claims: one owner a run, taken over when it is gone."""

import errno
import json
import multiprocessing
import os
import threading

import pytest

from kdbench.store import claims, files
from kdbench.store.claims import Claims
from kdbench.store.files import Disk


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def elsewhere(tmp_path):
    """Writes the claim of a process on another machine."""

    def write(run, number=1):
        tmp_path.mkdir(exist_ok=True)
        path = tmp_path / f"{run}.{number}"
        path.write_text(json.dumps({"host": "far", "pid": 7, "machine": "another", "started": "1"}))
        return path

    return write


def test_what_is_taken_is_held_until_released(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take(["a", "b"]) == ["a", "b"]
        assert other.take(["a", "c"]) == ["c"]
        assert str(os.getpid()) in other.owners(["a", "d"])["a"] and other.owners(["d"]) == {}
        one.release(["a"])
        assert other.take(["a"]) == ["a"]
    assert not list(tmp_path.iterdir())


def test_all_claims_of_a_process_are_one_file_and_each_is_released_alone(tmp_path):
    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        mine.take(["a", "b", "c"])
        other.take(["d"])
        assert len({(tmp_path / f"{run}.1").stat().st_ino for run in "abc"}) == 1
        assert (tmp_path / "d.1").stat().st_ino != (tmp_path / "a.1").stat().st_ino
        mine.release(["a"])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b.1", "c.1", "d.1"]
        assert other.take(["b", "a"]) == ["a"]


@pytest.mark.parametrize("why", ["the file system knows no links", "it was removed", "another has its name"])
def test_where_what_is_held_cannot_be_linked_each_claim_is_a_file(tmp_path, monkeypatch, elsewhere, why):
    class NoLinks(Disk):
        def link(self, source, path):
            raise PermissionError(errno.EPERM, "Operation not permitted")

    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        mine.take(["a"])
        if why == "the file system knows no links":
            monkeypatch.setattr(files, "disk", NoLinks())
        else:
            (tmp_path / "a.1").unlink()
        if why == "another has its name":
            elsewhere("a")
        assert mine.take(["b"]) == ["b"] and other.take(["b"]) == []
        assert str(os.getpid()) in other.owners(["b"])["b"] and (tmp_path / "b.1").stat().st_nlink == 1


def test_of_many_at_once_one_succeeds(tmp_path):
    found, ready = [], threading.Barrier(8)

    def take():
        with Claims(tmp_path) as mine:
            ready.wait()
            found.append(mine.take(["run"]))
            ready.wait()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[]] * 7 + [["run"]]


def test_what_is_released_while_it_is_looked_at_is_not_abandoned(tmp_path, monkeypatch):
    with Claims(tmp_path) as one:
        one.take(["run"])

        def released_first(self, path):
            monkeypatch.undo()
            one.release(["run"])
            return self._alive(path)

        monkeypatch.setattr(Claims, "_alive", released_first)
        assert Claims(tmp_path).abandoned() == [], "its name may be another's by the time it is removed"


def _hold(folder):
    Claims(folder).__enter__().take(["run"])
    os._exit(0)


@pytest.mark.skipif(claims._machine() is None, reason="this system does not tell processes apart")
def test_a_dead_process_of_this_machine_is_seen_at_once(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_hold, args=(tmp_path,))
    process.start()
    process.join()
    assert [path.name for path in tmp_path.iterdir()] == ["run.1"]
    with Claims(tmp_path) as mine:
        assert mine.owners(["run"]) == {}
        assert mine.take(["run"]) == ["run"]
        assert (tmp_path / "run.2").exists() and mine.abandoned() == [tmp_path / "run.1"]


def test_another_machine_is_watched_until_its_heartbeat_stops(tmp_path, elsewhere):
    clock, path = Clock(), elsewhere("run")
    with Claims(tmp_path, clock) as mine:
        assert mine.take(["run"]) == [] and mine.owners(["run"]) == {"run": "process 7 on far"}
        clock.now = claims.LEASE_SECONDS - 1
        assert mine.take(["run"]) == []
        os.utime(path, (1.0, 1.0))
        clock.now += claims.LEASE_SECONDS - 1
        assert mine.take(["run"]) == [], "it was touched, by whatever clock"
        clock.now += claims.LEASE_SECONDS
        assert mine.take(["run"]) == ["run"]


def test_a_heartbeat_touches_what_is_held(tmp_path, monkeypatch):
    taken, beats = threading.Event(), []

    class Pauses:
        """Three beats: the first once the run is held."""

        def wait(self, seconds):
            assert seconds == claims.BEAT_SECONDS
            taken.wait()
            return len(beats) == 3

        def set(self):
            """The end comes after the third."""

    monkeypatch.setattr(claims.os, "utime", beats.append)
    mine = Claims(tmp_path)
    monkeypatch.setattr(mine, "_leave", Pauses())
    with mine:
        mine.take(["run"])
        taken.set()
    assert beats == [tmp_path / "run.1"] * 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"pid": "x", "machine": null}'])
def test_an_unreadable_claim_is_watched_like_any(tmp_path, content):
    clock = Clock()
    (tmp_path / "run.3").write_bytes(content)
    with Claims(tmp_path, clock) as mine:
        assert mine.take(["run"]) == []
        clock.now = claims.LEASE_SECONDS
        assert mine.take(["run"]) == ["run"]
        assert (tmp_path / "run.4").exists()


def test_what_is_no_claim_is_passed_over(tmp_path):
    for name in ("a.²", "a.txt", "a"):
        (tmp_path / name).write_text("")
    with Claims(tmp_path) as claims:
        assert claims.abandoned() == [] and claims.take(["a"]) == ["a"]
