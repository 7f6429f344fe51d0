"""Real `kdbench run` processes, killed and stopped at random moments, alone and two at a time, and given again."""

import os
import random
import signal
import time

import pytest

from kdbench.store.store import Store
from tests import networks, processes

pytestmark = pytest.mark.long

GRID = """
dataset: digits
recipe: {epochs: 3, batch_size: 32, max_steps: 4, milestones: [2], augmentation: {crop_padding: 1, flip: false}}
seeds: [0, 1]
tables:
  - name: first
    title: A tiny table
    pairs: [deeper:shallower]
    rows: [{method: student}, {method: crd}]
"""
KILLS = {"alone": 12, "together": 8}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
#: By the one signal that is not heeded, and by those that are; SIGTERM is not before training begins, and SIGINT not
#: when Python itself comes to its end.
CODES = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130, -2}}


class Command:
    """The same command on one results folder, as often as it takes."""

    def __init__(self, folder):
        self.folder = folder
        self.results = folder / "results"
        (folder / "grid.yaml").write_text(GRID)

    def start(self):
        words = ["run", "--grid", self.folder / "grid.yaml", "--results", self.results, "--workers", 1]
        words += ["--plugin", networks.FILE]
        output = self.folder / "output"
        return processes.start(*words, "--checkpoint-seconds", 0, out=output, err=output)

    def said(self):
        return (self.folder / "output").read_text()

    def outcomes(self):
        found = Store(self.results).find()
        assert not found.damaged
        assert {record.status for record in found.records.values()} <= {"done"}, self.said()
        return {key: (r.curve, r.weights_sha256, r.basis.teacher_sha256) for key, r in found.records.items()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What the command gives, and how long it takes."""
    command = Command(tmp_path_factory.mktemp("unbroken"))
    # The first process waits for the server that it is forked from.
    processes.run("--version")
    began = time.monotonic()
    assert command.start().wait() == 0, command.said()
    found = command.outcomes()
    assert len(found) == 5
    return found, time.monotonic() - began


def kill(process, number):
    """Send a signal; whether the process was still there, and had not just ended well."""
    os.kill(process.pid, number)
    code = process.wait()
    assert code in CODES[number] | {0}, code
    return code != 0


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
def test_killed_and_given_again_ends_in_the_same_bits(unbroken, tmp_path, capsys, together):
    expected, seconds = unbroken
    moments, kills, rounds = random.Random(7 + together), 0, 0
    wanted = KILLS["together" if together else "alone"]
    while kills < wanted:
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        command = Command(folder)
        running = [command.start() for _ in range(1 + together)]
        while running:
            time.sleep(moments.uniform(0.02, 0.5) * seconds)
            process = moments.choice(running)
            running.remove(process)
            if kill(process, SIGNALS[kills % len(SIGNALS)]):
                kills += 1
                if kills < wanted:
                    running.append(command.start())
            else:
                # It came too late, for the machine has less to do than it had.
                seconds *= 0.8
            assert command.outcomes().items() <= expected.items()
            if kills >= wanted:
                assert all(other.wait() == 0 for other in running), command.said()
                running = []
        assert command.start().wait() == 0, command.said()
        assert command.outcomes() == expected
        assert "Traceback" not in command.said()
    with capsys.disabled():
        print(f"\n{kills} processes killed {'two at a time' if together else 'alone'} in {rounds} grids, losses: 0")


def test_two_processes_share_the_work(unbroken, tmp_path):
    expected, _ = unbroken
    command = Command(tmp_path)
    together = [command.start(), command.start()]
    assert [process.wait() for process in together] == [0, 0], command.said()
    assert command.outcomes() == expected
    # Each run is told once, by whoever trained it.
    assert command.said().count(" % (best ") == len(expected), command.said()
