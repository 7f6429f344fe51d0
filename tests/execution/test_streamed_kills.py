"""A real `kdbench run` on images in files, with processes that read them: killed, stopped, and given again."""

import os
import signal
import time

import pytest

from kdbench.store.store import Store
from tests import networks, processes
from tests.data.streams import files

pytestmark = pytest.mark.long

GRID = """
dataset: imagefolder:{folder}
recipe:
  epochs: 4
  batch_size: 16
  augmentation: {{crop_padding: 0, size: 32, resize: 36, random_resized_crop: [0.3, 1.0]}}
seeds: [0, 1]
tables:
  - name: first
    title: A tiny table
    pairs: [deeper:shallower]
    rows: [{{method: student}}]
"""
#: A plugin: two processes read, where the one thread that tests have would read for itself.
READERS = """
from dataclasses import replace

from kdbench.execution import trainer

rule = trainer.loaders
trainer.loaders = lambda *given: replace(rule(*given), number=2)
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The file of a grid on a folder of JPEGs."""
    folder = tmp_path_factory.mktemp("images")
    for part, count, first in (("train", 80, 0), ("val", 12, 1000)):
        made = files(count, classes=3, first=first)
        for number, (label, encoded) in enumerate(zip(made.labels.tolist(), made.encoded, strict=True)):
            place = folder / part / "abc"[label]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.jpg").write_bytes(encoded)
    path = folder / "grid.yaml"
    path.write_text(GRID.format(folder=folder))
    (folder / "readers.py").write_text(READERS)
    return path


def start(grid, results, *words):
    output = results.parent / "output"
    command = ["run", "--grid", grid, "--results", results, "--plugin", networks.FILE]
    return processes.start(*command, *words, out=output, err=output)


def start_with_readers(grid, results, workers):
    words = "--plugin", grid.parent / "readers.py", "--workers", workers, "--checkpoint-seconds", 0
    return start(grid, results, *words)


def outcomes(results):
    records = Store(results).find().records.values()
    assert {record.status for record in records} == {"done"}, [record.failure for record in records]
    return {record.id: (record.curve, record.weights_sha256) for record in records}


@pytest.fixture(scope="module")
def unbroken(grid, tmp_path_factory):
    results = tmp_path_factory.mktemp("unbroken") / "results"
    assert start(grid, results).wait() == 0
    return outcomes(results)


def begun(process, results):
    """The numbers of all processes below the command's, once the first epoch has ended."""
    while not list(results.glob("checkpoints/*.safetensors")):
        assert process.poll() is None, (results.parent / "output").read_text()
        time.sleep(0.01)
    found = processes.descendants(process.pid)
    # Two that read, the server that they were forked from, and who keeps the books of multiprocessing.
    assert len(found) >= 4
    return found


def test_killed_it_leaves_no_process_and_given_again_it_ends_in_the_same_bits(grid, tmp_path, unbroken):
    process = start_with_readers(grid, tmp_path / "results", workers=1)
    others = begun(process, tmp_path / "results")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    processes.await_end(others)
    assert start(grid, tmp_path / "results").wait() == 0
    assert outcomes(tmp_path / "results") == unbroken


def test_stopped_by_a_signal_to_all_processes_while_workers_train_likewise(grid, tmp_path, unbroken):
    process = start_with_readers(grid, tmp_path / "results", workers=2)
    others = begun(process, tmp_path / "results")
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    said = (tmp_path / "output").read_text()
    assert "To go on: kdbench run --grid" in said and "Traceback" not in said
    processes.await_end(others)
    assert start(grid, tmp_path / "results").wait() == 0
    assert outcomes(tmp_path / "results") == unbroken


def test_an_image_that_is_broken_is_named_and_the_command_says_that_runs_failed(grid, tmp_path):
    broken = grid.parent / "train" / "a" / "0.jpg"
    sound = broken.read_bytes()
    broken.write_bytes(sound[: len(sound) // 2])
    try:
        assert start(grid, tmp_path / "results").wait() == 1
    finally:
        broken.write_bytes(sound)
    said = (tmp_path / "output").read_text()
    assert "a/0.jpg: " in said and "Traceback" not in said
    records = Store(tmp_path / "results").find().records.values()
    assert [record.status for record in records] == ["failed", "failed"]
    assert all("a/0.jpg: " in record.failure.reason for record in records)
