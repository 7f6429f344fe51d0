"""Worker processes that die, are idle, or lose their parent."""

import contextlib
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from kdbench.cells import Expansion
from kdbench.data.augment import Augmentation
from kdbench.data.digits import Digits
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.execution.places import Place
from kdbench.execution.pool import WorkerPool
from kdbench.grid import Grid, Row, Table
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.recipe import Recipe
from kdbench.store.store import Store

pytestmark = pytest.mark.long

RECIPE = Recipe(
    epochs=1, batch_size=16, max_steps=2, milestones=(), augmentation=Augmentation(crop_padding=1, flip=False)
)
HERE = Place(torch.device("cpu"))


@pytest.fixture(scope="module")
def registry():
    return load_plugins()


def jobs(registry, *seeds, **recipe):
    """One cohort a seed."""
    table = Table(name="t", title="t", pairs=("resnet14:resnet8",), rows=(Row(method="student"),))
    changed = RECIPE.model_copy(update=recipe)
    grid = Grid(name="g", dataset="digits", recipe=changed, teacher_recipe=changed, seeds=seeds, tables=(table,))
    cells = Expansion(grid, registry, Digits().info(None)).cells
    return [Job([run], 1) for cell in cells for run in cell.runs]


@contextlib.contextmanager
def pool(folder, registry):
    workers = WorkerPool(Store(folder), registry, Digits().load(None), Options(torch.device("cpu")))
    try:
        yield workers
    finally:
        workers.close(at_once=False)


def train(workers, jobs):
    """The records of jobs that are trained at once."""
    for job in jobs:
        workers.begin(job, HERE)
    records, ended = [], 0
    while ended < len(jobs):
        for _, of_job in workers.hear():
            records += of_job
            ended += 1
    return records


def test_an_idle_worker_that_is_killed_is_replaced_and_none_imports_what_lies_about(tmp_path, registry, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("signal", "random", "torch", "kdbench_file_mine"):
        Path(f"{name}.py").write_text("open('executed', 'w')\nraise SystemExit\n")
    with pool(tmp_path, registry) as workers:
        assert len(train(workers, jobs(registry, 0, 1))) == 2
        idle, _ = multiprocessing.active_children()
        idle.kill()
        idle.join()
        assert len(train(workers, jobs(registry, 2, 3))) == 2
    assert not Path("executed").exists() and "PYTHONSAFEPATH" not in os.environ
    assert not multiprocessing.active_children()


class KillsAWorker:
    """Its signal is sent when the first epoch has ended."""

    def __init__(self, number):
        self.number = number

    def notify(self, hook, **event):
        if hook == "kdbench_epoch_ended" and self.number:
            os.kill(multiprocessing.active_children()[0].pid, self.number)
            self.number = None


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "want of memory"), (signal.SIGABRT, "ended with signal 6")]
)
def test_a_worker_that_dies_in_training_is_a_sentence(tmp_path, registry, number, said):
    with pytest.raises(UserError, match=said), pool(tmp_path, KillsAWorker(number)) as workers:
        train(workers, jobs(registry, 0, epochs=100_000))
    assert not multiprocessing.active_children()
