"""Cohorts spread over several GPUs that need not be there; worker processes that each see one."""

from collections import Counter

import pytest
import torch

from kdbench.environment.gpus import VARIABLE, Gpu
from kdbench.execution import local
from kdbench.execution.jobs import Job
from kdbench.execution.local import LocalExecutor
from kdbench.execution.options import Options
from kdbench.execution.places import places
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from tests.training.support import CPU, noise_dataset, runs

CUDA = torch.device("cuda")
GPUS = (Gpu(0, "GPU-8a56"), Gpu(1, "MIG-41b0"), Gpu(2, "3"))


def test_each_gpu_is_a_place_whose_workers_see_no_other():
    found = places(Options(CUDA, gpus=GPUS))
    assert [place.variables[VARIABLE] for place in found] == ["GPU-8a56", "MIG-41b0", "3"]
    assert {place.device for place in found} == {CUDA}
    (only,) = places(Options(CPU))
    assert (only.device, dict(only.variables)) == (CPU, {})


class Pool:
    """Stands in for worker processes: it keeps what is begun where, and ends the oldest."""

    def __init__(self, *given):
        self.begun = []
        self.ended = 0

    def begin(self, job, place):
        self.begun.append((job, place))

    def hear(self):
        job, _ = self.begun[self.ended]
        self.ended += 1
        yield job, []

    def close(self, *, at_once):
        pass


@pytest.fixture
def executor(tmp_path, monkeypatch):
    """`executor(**options)`: one on three GPUs."""
    monkeypatch.setattr(local, "WorkerPool", Pool)
    monkeypatch.setattr(local, "measured_workers", lambda jobs, *_: measured.append(len(jobs)) or 2)
    measured = []

    def made(**options):
        given = Store(tmp_path), load_plugins(), noise_dataset(), Options(CUDA, gpus=GPUS, **options)
        opened = LocalExecutor(*given, lambda: False, lambda sentence: None)
        opened.measured = measured
        return opened

    return made


def fill(executor, jobs):
    """Begin what there is room for."""
    begun = [job for job in jobs if executor.has_room(job) and (executor.begin(job) or True)]
    return Counter(place.variables[VARIABLE] for _, place in executor._pool.begun[-len(begun) :]) if begun else {}


def jobs(count):
    return [Job(runs("kd"), 2) for _ in range(count)]


def test_cohorts_are_spread_evenly_and_each_place_takes_as_many_as_are_wanted(executor):
    opened, waiting = executor(workers=2), jobs(9)
    opened.expect(waiting)
    assert fill(opened, waiting) == {"GPU-8a56": 2, "MIG-41b0": 2, "3": 2}
    (ended,) = opened.hear()
    assert ended.job is waiting[0]
    # The one that has room again, and no other.
    assert fill(opened, waiting[6:]) == {"GPU-8a56": 1}
    assert not opened.measured


def test_how_many_a_place_takes_is_measured_once_while_nothing_is_trained(executor):
    opened, waiting = executor(), jobs(9)
    opened.expect(waiting)
    assert fill(opened, waiting) == {"GPU-8a56": 2, "MIG-41b0": 2, "3": 2}
    # For a third of the jobs.
    assert opened.measured == [3]


def test_one_a_place_is_trained_in_workers_too_where_there_are_several(executor):
    opened, waiting = executor(workers=1), jobs(4)
    opened.expect(waiting)
    assert fill(opened, waiting) == {"GPU-8a56": 1, "MIG-41b0": 1, "3": 1}
