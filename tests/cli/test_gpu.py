"""`kdbench run --device cuda` from the command to the table; a CPU runs the same tests."""

import pytest
import torch

from kdbench.store import kept
from kdbench.store.store import Store
from tests.cli.support import kdbench, tiny_grid
from tests.gpu import CUDA, DEVICES, needs_gpu

GRID = """
dataset: digits
recipe: {epochs: 1, batch_size: 16, max_steps: 2, augmentation: {crop_padding: 1, flip: false}}
seeds: [0]
tables:
  - name: t
    title: Two methods
    pairs: [resnet14:resnet8]
    rows: [{method: dskd}, {method: crd}]
"""


def run(grid, results, device, *words):
    """The records of the grid's students, by id."""
    done = kdbench("run", "--grid", grid, "--results", results, "--device", device.type, "--concurrency", 2, *words)
    assert done.code == 0, done.err
    return [record for record in Store(results).find().records.values() if record.run.role == "student"]


@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_runs_are_the_same_alone_and_in_a_cohort(device, tmp_path):
    grid = tiny_grid(tmp_path, GRID)
    together = run(grid, tmp_path / "together", device, "--deterministic")
    assert len(together) == 2
    for record in together:
        assert record.status == "done" and record.cost.cohort_size == 2
        assert record.cost.peak_memory_bytes > record.cost.training_parameters * 4
        if device.type == "cuda":
            assert torch.cuda.get_device_name() in record.environment["device"]
        method = record.run.method
        (alone,) = run(grid, tmp_path / method, device, "--deterministic", "--methods", method)
        assert (alone.id, alone.curve, alone.weights_sha256) == (record.id, record.curve, record.weights_sha256), method


@pytest.mark.parametrize("device", DEVICES)
def test_fast_runs_end_in_a_table(device, tmp_path, monkeypatch):
    """Lanes are measured, and an epoch ends with a short batch."""
    monkeypatch.setenv("HOME", str(tmp_path))  # for workers
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    grid = tiny_grid(
        tmp_path, GRID.replace("max_steps: 2", "max_steps: 200").replace("batch_size: 16", "batch_size: 512")
    )
    done = kdbench("run", "--grid", grid, "--results", tmp_path / "results", "--device", device.type)
    assert done.code == 0, done.err
    assert done.out.count("(1)") == 2


@needs_gpu
def test_cohorts_train_side_by_side_on_one_gpu(tmp_path):
    grid = tiny_grid(tmp_path, GRID.replace("seeds: [0]", "seeds: [0, 1]"))
    one, two = (run(grid, tmp_path / n, CUDA, "--deterministic", "--workers", n) for n in ("1", "2"))
    assert len(one) == 4
    assert [(a.id, a.weights_sha256) for a in one] == [(a.id, a.weights_sha256) for a in two]
