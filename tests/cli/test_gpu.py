"""`kdbench run --device cuda` from the command to the table; a CPU runs the same tests."""

import pytest
import torch

from kdbench.store.store import Store
from tests.cli.support import kdbench, tiny_grid
from tests.gpu import DEVICES

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
    """The records of the grid's students by method."""
    done = kdbench("run", "--grid", grid, "--results", results, "--device", device.type, "--concurrency", 2, *words)
    assert done.code == 0, done.err
    return {
        record.run.method: record for record in Store(results).find().records.values() if record.run.role == "student"
    }


@pytest.mark.parametrize("device", DEVICES)
def test_deterministic_runs_are_the_same_alone_and_in_a_cohort(device, tmp_path):
    grid = tiny_grid(tmp_path, GRID)
    together = run(grid, tmp_path / "together", device, "--deterministic")
    for method, record in together.items():
        assert record.status == "done" and record.cost.cohort_size == 2
        assert record.cost.peak_memory_bytes > record.cost.training_parameters * 4
        if device.type == "cuda":
            assert torch.cuda.get_device_name() in record.environment["device"]
        alone = run(grid, tmp_path / method, device, "--deterministic", "--methods", method)[method]
        assert (alone.curve, alone.weights_sha256) == (record.curve, record.weights_sha256), method


@pytest.mark.parametrize("device", DEVICES)
def test_fast_runs_end_in_a_table(device, tmp_path, monkeypatch):
    """Lanes are measured, and an epoch ends with a short batch."""
    monkeypatch.setenv("HOME", str(tmp_path))
    grid = tiny_grid(
        tmp_path, GRID.replace("max_steps: 2", "max_steps: 200").replace("batch_size: 16", "batch_size: 512")
    )
    done = kdbench("run", "--grid", grid, "--results", tmp_path / "results", "--device", device.type)
    assert done.code == 0, done.err
    assert done.out.count("(1)") == 2
