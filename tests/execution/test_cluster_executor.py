"""What the driver does with what comes from machines, without Ray."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from kdbench.execution.cluster import executor as cluster
from kdbench.execution.cluster.executor import RayExecutor
from kdbench.execution.cluster.task import Event, Failed, Kept
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.hookspecs import hookimpl
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.store.records import Epoch, dump_record
from kdbench.store.store import Store
from tests.gate.support import record
from tests.training.support import noise_dataset, runs

REGISTRY, GROUP = load_plugins(), runs("student", "kd")
ENDED, GOING = GROUP


class Observer:
    """Notes what it hears, with whether a record was there by then."""

    def __init__(self, store):
        self.store, self.heard = store, []

    @hookimpl
    def kdbench_epoch_ended(self, run, epoch):
        self.heard.append(("epoch", run.id, epoch.epoch))

    @hookimpl
    def kdbench_run_ended(self, run, record):
        self.heard.append(("ended", run.id, self.store.record(run.id) == record))


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """An executor that has begun one job, its results folder and the job."""
    ray = ModuleType("ray")
    ray.remote = lambda **_: lambda task: task
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(cluster, "Machines", lambda *given: None)
    store, job = Store(tmp_path), Job(GROUP, 1)
    options = Options(torch.device("cpu"))
    given = store, REGISTRY, noise_dataset(), options, lambda: False, print
    made = RayExecutor(*given, runs=GROUP, dataset_spec="noise", data_dir=None)
    made._how[job] = {}
    return made, store, job


def checkpoint(run, content):
    return Kept(run.id, {Path("checkpoints", f"{run.id}.safetensors"): content})


def finished(run, status="done"):
    made = record(run, 50.0, status)
    return Kept(run.id, {Path("weights", f"{run.id}.safetensors"): b"w"}, made, dump_record(made))


def files(store):
    return {str(path.relative_to(store.root)): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def test_what_comes_together_is_on_disk_before_any_of_it_is_told(driver):
    executor, store, job = driver
    epoch = Epoch(epoch=1, lr=0.1, loss=1.0, terms={}, test_top1=50.0, test_loss=1.0)
    told = [Event("kdbench_epoch_ended", run.id, {"epoch": epoch}) for run in GROUP]
    observer, last = Observer(store), finished(ENDED)
    with REGISTRY.observing(observer):
        executor._heed(job, [checkpoint(ENDED, b"1"), checkpoint(GOING, b"1")])
        executor._heed(job, [*told, checkpoint(ENDED, b"2"), last, checkpoint(GOING, b"2")])
    assert observer.heard == [("epoch", ENDED.id, 1), ("epoch", GOING.id, 1), ("ended", ENDED.id, True)]
    # Of the run that has ended nothing else is left; of the other the last two states are.
    assert files(store) == {
        f"weights/{ENDED.id}.safetensors": b"w",
        f"records/{ENDED.id}.json": last.dumped,
        f"checkpoints/{GOING.id}.safetensors": b"2",
        f"checkpoints/{GOING.id}.previous.safetensors": b"1",
    }
    assert executor._how[job] == {ENDED.id: "done"}


def test_a_failure_does_not_take_a_result_s_place(driver):
    executor, store, job = driver
    done = finished(ENDED)
    executor._heed(job, [done])
    executor._heed(job, [finished(ENDED, "failed")])
    assert store.record(ENDED.id) == done.record


@pytest.mark.parametrize(
    ("why", "raised"), [(UserError("no weights; mend them"), UserError), ("Traceback", RuntimeError)]
)
def test_what_a_task_cannot_go_on_after_ends_the_command_with_all_before_kept(driver, why, raised):
    executor, store, job = driver
    with pytest.raises(raised, match=str(why)):
        executor._heed(job, [finished(ENDED), Failed(why)])
    assert store.record(ENDED.id).status == "done"
