"""The number of cohorts that train side by side on a GPU follows from a measurement, made once."""

import math
from types import SimpleNamespace

import pytest
import torch

from kdbench.cells import Expansion
from kdbench.data.digits import Digits
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.execution.places import Place
from kdbench.execution.pool import WorkerPool
from kdbench.execution.side_by_side import best_count, measured_workers
from kdbench.grid import Grid, Row, Table
from kdbench.plugins import load_plugins
from kdbench.store import kept
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted
from tests.cli.support import kdbench, tiny_grid
from tests.gpu import CPU, CUDA, needs_gpu
from tests.training.support import RECIPE


@pytest.mark.parametrize(
    ("rates", "most", "best", "tried"),
    [
        ({1: 10.0}, 1, 1, [1]),
        ({1: 10.0, 2: 10.4}, 4, 1, [1, 2]),
        ({1: 10.0, 2: 18.0, 4: 18.5}, 4, 2, [1, 2, 4]),
        ({1: 10.0, 2: 18.0, 4: 30.0}, 4, 4, [1, 2, 4]),
        ({1: 10.0, 2: 18.0}, 3, 2, [1, 2]),
        ({1: 10.0, 2: 0.0}, 4, 1, [1, 2]),
    ],
)
def test_doubled_as_long_as_it_gains(rates, most, best, tried):
    asked = []

    def rate(count):
        asked.append(count)
        return rates[count]

    assert best_count(most, rate) == best
    assert asked == tried


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU of 1000 bytes, as far as the choice asks for one."""
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Abacus")
    return torch.device("cuda")


def footprint(size):
    return SimpleNamespace(cohort=lambda runs: size)


def test_measured_once_on_the_largest_cohort(gpu):
    small, large = Job([None], 2), Job([None] * 3, 2)
    asked = []

    def rate(job, count):
        assert job is large
        asked.append(count)
        return float(count)

    for _ in range(2):
        assert measured_workers([small, large, small], gpu, footprint(100), rate) == 2
    # One more job or member is much the same.
    large = Job([None] * 2, 2)
    assert measured_workers([large, small], gpu, footprint(100), rate) == 2
    assert asked == [1, 2]


@pytest.mark.parametrize(("jobs", "size", "most"), [(1, 1, 1), (9, 1, 4), (9, 300, 1), (9, 200, 2)])
def test_no_more_than_there_are_jobs_and_there_is_memory(gpu, jobs, size, most):
    assert measured_workers([Job([None], 2)] * jobs, gpu, footprint(size), lambda job, count: float(count)) == most


def job(*methods, registry):
    table = Table(name="t", title="t", pairs=("resnet14:resnet8",), rows=tuple(Row(method=m) for m in methods))
    grid = Grid(name="g", dataset="digits", recipe=RECIPE, teacher_recipe=RECIPE, seeds=(0,), tables=(table,))
    cells = Expansion(grid, registry, Digits().info(None)).cells
    return Job([run for cell in cells for run in cell.runs], 1)


def pace(folder, registry, *methods, stop=False):
    workers = WorkerPool(Store(folder), registry, Digits().load(None), Options(CPU))
    try:
        return workers.pace(job(*methods, registry=registry), 2, Place(CPU), lambda: stop)
    finally:
        workers.close(at_once=False)


def test_workers_train_copies_of_a_cohort_and_keep_nothing(tmp_path):
    registry = load_plugins()
    assert 0 < pace(tmp_path / "results", registry, "student") < math.inf
    # Its teacher was not trained.
    assert pace(tmp_path / "results", registry, "kd") == 0
    assert not list((tmp_path / "results").rglob("*"))


def test_a_stop_is_heard_while_measuring(tmp_path):
    with pytest.raises(Interrupted):
        pace(tmp_path / "results", load_plugins(), "student", stop=True)


@needs_gpu
def test_a_gpu_is_measured_by_the_first_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # for workers
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    text = """
dataset: digits
recipe: {epochs: 1, batch_size: 16, max_steps: 2, augmentation: {crop_padding: 1, flip: false}}
seeds: [0, 1]
tables:
  - name: t
    title: Two methods
    pairs: [resnet14:resnet8]
    rows: [{method: kd}, {method: at}]
"""
    grid = tiny_grid(tmp_path, text)
    command = "run", "--grid", grid, "--device", CUDA.type
    first = kdbench(*command, "--results", tmp_path / "first")
    assert first.code == 0 and "measuring how many cohorts" in first.out, first.err
    assert "up to 2 cohorts of 2 to 3 members" in (tmp_path / "concurrency.json").read_text()
    again = kdbench(*command, "--results", tmp_path / "again")
    assert again.code == 0 and "measuring how many cohorts" not in again.out, again.err
