"""Real `kdbench run` processes, killed and stopped at random moments, alone and two at a time, and given again."""

import os
import random
import signal
import time

import pytest

from kdbench.store.store import Store
from tests.execution.launcher import Launcher

pytestmark = pytest.mark.long

GRID = """
dataset: digits
recipe: {epochs: 3, batch_size: 32, max_steps: 8, milestones: [2], augmentation: {crop_padding: 1, flip: false}}
seeds: [0, 1]
tables:
  - name: first
    title: A tiny table
    pairs: [resnet14:resnet8]
    rows: [{method: student}, {method: dskd}, {method: crd}]
"""
KILLS = {"alone": 12, "together": 8}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
#: By the one signal that is not heeded, and by those that are; SIGTERM is not before training begins.
CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130}}


@pytest.fixture(scope="module")
def launcher():
    started = Launcher()
    yield started
    started.close()


class Command:
    """The same command on one results folder, as often as it takes."""

    def __init__(self, launcher, folder):
        self._launcher = launcher
        self.folder = folder
        self.results = folder / "results"
        (folder / "grid.yaml").write_text(GRID)

    def start(self):
        words = ["run", "--grid", str(self.folder / "grid.yaml"), "--results", str(self.results), "--workers", "1"]
        return self._launcher.start([*words, "--checkpoint-seconds", "0"], self.folder / "output")

    def said(self):
        return (self.folder / "output").read_text()

    def outcomes(self):
        found = Store(self.results).find()
        assert not found.damaged
        assert {record.status for record in found.records.values()} <= {"done"}, self.said()
        return {key: (r.curve, r.weights_sha256, r.basis.teacher_sha256) for key, r in found.records.items()}


@pytest.fixture(scope="module")
def unbroken(launcher, tmp_path_factory):
    """What the command gives, and how long it takes."""
    command = Command(launcher, tmp_path_factory.mktemp("unbroken"))
    began = time.monotonic()
    assert launcher.wait(command.start()) == 0, command.said()
    found = command.outcomes()
    assert len(found) == 7
    return found, time.monotonic() - began


def kill(launcher, pid, number):
    """Send a signal; whether the process was still there, and had not just ended well."""
    os.kill(pid, number)
    code = launcher.wait(pid)
    assert code in CODES[number] | {0}, code
    return code != 0


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
def test_killed_and_given_again_ends_in_the_same_bits(launcher, unbroken, tmp_path, capsys, together):
    expected, seconds = unbroken
    moments, kills, rounds = random.Random(7 + together), 0, 0
    wanted = KILLS["together" if together else "alone"]
    while kills < wanted:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        command = Command(launcher, folder)
        running = [command.start() for _ in range(1 + together)]
        while running:
            time.sleep(moments.uniform(0.02, 0.4) * seconds)
            pid = moments.choice(running)
            running.remove(pid)
            if kill(launcher, pid, SIGNALS[kills % len(SIGNALS)]):
                kills += 1
                if kills < wanted:
                    running.append(command.start())
            assert command.outcomes().items() <= expected.items()
            if kills >= wanted:
                assert all(launcher.wait(other) == 0 for other in running), command.said()
                running = []
        assert launcher.wait(command.start()) == 0, command.said()
        assert command.outcomes() == expected
        assert "Traceback" not in command.said()
    with capsys.disabled():
        print(f"\n{kills} processes killed {'two at a time' if together else 'alone'} in {rounds} grids, losses: 0")


def test_two_processes_share_the_work(launcher, unbroken, tmp_path):
    expected, _ = unbroken
    command = Command(launcher, tmp_path)
    pids = [command.start(), command.start()]
    assert [launcher.wait(pid) for pid in pids] == [0, 0], command.said()
    assert command.outcomes() == expected
    # Each run is told once, by whoever trained it.
    assert command.said().count(" % (best ") == len(expected), command.said()
