"""A cohort that outgrows a GPU's memory goes on in parts."""

import gc

import pytest
import torch

from kdbench.store.store import Store
from tests.cli.support import kdbench, tiny_grid
from tests.gpu import CUDA, DEVICES, needs_gpu

#: On a GPU with a network and batch of some hundred MB, so that parts of a cohort differ by more than workspaces; on as
#: many lanes as members, since members of one lane use the same memory one after the other.
GRID = """
dataset: digits
recipe: {epochs: 1, batch_size: BATCH, max_steps: 1, augmentation: {crop_padding: 1, flip: false}}
seeds: [0]
tables:
  - name: t
    title: Four methods
    pairs: [resnet8:STUDENT]
    rows: [{method: kd}, {method: sp}, {method: pkt}, {method: at}]
"""


def run(folder, device, batch, student, *words):
    grid = tiny_grid(folder, GRID.replace("BATCH", str(batch)).replace("STUDENT", student))
    results = folder / "-".join(["results", *words])
    done = kdbench("run", "--grid", grid, "--results", results, "--device", device.type, "--concurrency", 4, *words)
    assert done.code == 0, done.err
    records = [record for record in Store(results).find().records.values() if record.run.role == "student"]
    assert all(record.status == "done" for record in records)
    return records


def reserved(folder, *words):
    """Most bytes that a run took from the device."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run(folder, CUDA, 1024, "resnet32x4", *words)
    return torch.cuda.max_memory_reserved()


@pytest.mark.parametrize("device", DEVICES)
def test_the_grid_of_the_next_test_trains(device, tmp_path):
    assert {record.cost.cohort_size for record in run(tmp_path, device, 8, "resnet8")} == {4}


@needs_gpu
def test_a_cohort_that_does_not_fit_is_split(tmp_path, caplog):
    halves = reserved(tmp_path, "--methods", "kd,sp")
    whole = reserved(tmp_path, "--methods", "kd,sp,pkt,at")
    # There must be room for a limit between the two: 1.2 times on an H200.
    assert whole > 1.1 * halves
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction((halves + whole) / 2 / total)
    try:
        gc.collect()
        torch.cuda.empty_cache()
        records = run(tmp_path, CUDA, 1024, "resnet32x4")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(records) == 4
    assert "does not fit into memory" in caplog.text
