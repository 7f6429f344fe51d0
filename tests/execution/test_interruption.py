"""A real `kdbench run` with worker processes, killed and stopped, and given again (one process: test_kill_sweep.py)."""

import os
import signal
import time

import pytest

from kdbench.store.store import Store
from tests import networks, processes
from tests.cli.support import kdbench

pytestmark = pytest.mark.long

GRID = """
dataset: digits
recipe: {epochs: 3, batch_size: 32, max_steps: 8, milestones: [3], augmentation: {crop_padding: 1, flip: false}}
seeds: [0]
tables:
  - name: first
    title: A tiny table
    pairs: [deeper:shallower]
    rows: [{method: student}, {method: crd}]
"""
#: Longer than any test.
ENDLESS = GRID.replace("epochs: 3", "epochs: 3000")
#: Without a teacher to train first: two cohorts, two workers.
STUDENTS = ENDLESS.replace("seeds: [0]", "seeds: [0, 1]").replace(", {method: crd}", "")
#: A plugin: once the first epoch of a run of some role has ended, all processes get a signal from the one that is told.
SIGNAL = """
import os
import signal

import kdbench

sent = []


@kdbench.hookimpl
def kdbench_epoch_ended(run, epoch):
    if run.role == "{role}" and not sent:
        sent.append(epoch)
        os.killpg(0, signal.{name})
"""


def start(folder, results, *words, workers):
    """The process, printing to `folder/output`."""
    command = ["run", "--grid", folder / "grid.yaml", "--results", results, "--workers", workers]
    command += ["--plugin", networks.FILE]
    output = folder / "output"
    return processes.start(*command, "--checkpoint-seconds", 0, *words, out=output, err=output)


def outcomes(results):
    records = Store(results).find().records.values()
    assert all(record.status == "done" for record in records)
    return {record.id: (record.curve, record.weights_sha256, record.teacher_sha256) for record in records}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "grid.yaml").write_text(GRID)
    assert start(folder, folder / "results", workers=1).wait() == 0
    found = outcomes(folder / "results")
    assert len(found) == 3
    return found


def signalled(folder, role, name):
    """How the command ended that got the signal called `name` after an epoch of a run of that role."""
    (folder / "grid.yaml").write_text(GRID)
    (folder / "signals.py").write_text(SIGNAL.format(role=role, name=name))
    return start(folder, folder / "results", "--plugin", str(folder / "signals.py"), workers=2).wait()


def test_killed_and_given_again_ends_in_the_same_bits(tmp_path, unbroken):
    assert signalled(tmp_path, "student", "SIGKILL") == -signal.SIGKILL
    assert start(tmp_path, tmp_path / "results", workers=2).wait() == 0
    assert outcomes(tmp_path / "results") == unbroken


def test_stopped_by_a_signal_to_all_processes_leaves_everything_resumable_and_says_how(tmp_path, unbroken):
    # As a terminal that is closed.
    assert signalled(tmp_path, "teacher", "SIGHUP") == 129
    said = (tmp_path / "output").read_text()
    assert "To go on: kdbench run --grid" in said and "Traceback" not in said
    assert start(tmp_path, tmp_path / "results", workers=1).wait() == 0
    assert outcomes(tmp_path / "results") == unbroken


@pytest.mark.parametrize("pause", [0.05, 0.5])
def test_further_signals_stop_at_once_and_lose_nothing_finished(tmp_path, pause):
    (tmp_path / "grid.yaml").write_text(ENDLESS)
    results = tmp_path / "results"
    process = start(tmp_path, results, workers=2)
    while not list(results.glob("checkpoints/*.safetensors")):
        assert process.poll() is None, (tmp_path / "output").read_text()
        time.sleep(0.02)
    workers = processes.descendants(process.pid)
    os.kill(process.pid, signal.SIGINT)
    # So that the two are not taken for one; the more fall into the end of the process, of which they are no part.
    time.sleep(pause)
    while process.poll() is None:
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.005)
    said = (tmp_path / "output").read_text()
    assert process.returncode == 130, said
    assert "Traceback" not in said and "topped" in said
    processes.await_end(workers)
    assert kdbench("results", "check", "--results", results).code == 0


def test_a_signal_to_all_processes_while_workers_start_is_a_stop(tmp_path):
    (tmp_path / "grid.yaml").write_text(STUDENTS)
    process = start(tmp_path, tmp_path / "results", workers=2)
    workers(process)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130
    said = (tmp_path / "output").read_text()
    assert "To go on: kdbench run --grid" in said and "Traceback" not in said


def test_workers_end_where_their_parent_was_killed(tmp_path):
    (tmp_path / "grid.yaml").write_text(STUDENTS)
    process = start(tmp_path, tmp_path / "results", workers=2)
    orphans = workers(process)
    process.kill()
    process.wait()
    processes.await_end(orphans)


def workers(process):
    """The numbers of all processes below a command's, once it has two workers: those of the server that it forks them
    from, which is one of its own two children; the other keeps the books of multiprocessing.
    """
    while len(found := processes.descendants(process.pid)) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    return found
