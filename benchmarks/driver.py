"""What the driver of a cluster costs: cohorts are begun and heard of as from Ray, and trained by nobody.

    python benchmarks/driver.py [--runs 10000] [--workers 200] [--epochs 240]

Ray and what trains are stood in for, so that what is timed is kdbench's own part: the display of a terminal, jobs,
which machine has room, claims, what is sent, messages unpacked, checkpoints, weights and records to disk. Each run has
a checkpoint of 300 kB, as much of weights and a record of all epochs. Workers pack what they tell: that is not timed.
"""

import argparse
import os
import pickle
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))
from kdbench.cli.progress import display
from kdbench.execution.cluster import executor as cluster
from kdbench.execution.cluster.connect import Node
from kdbench.execution.cluster.machines import Machine, Machines
from kdbench.execution.cluster.task import Event, Kept
from kdbench.execution.options import Options
from kdbench.execution.plan import Plan
from kdbench.execution.schedule import execute
from kdbench.plugins import load_plugins
from kdbench.run import Run
from kdbench.store.records import Epoch, dump_record
from kdbench.store.store import Store
from tests.gate.support import record
from tests.training.support import noise_dataset, runs

COHORT = 16
#: What a worker tells at a time, in epochs: it gathers for half a second.
EPOCHS_A_MESSAGE = 10
WEIGHTS = b"w" * 300_000


class Task:
    """What trains a cohort: its messages as they come from Ray, packed. `seconds` adds up what packing took."""

    seconds = [0.0, 0.0]

    def __init__(self, template, epochs, dumped, given):
        self._messages = self._told(template, epochs, dumped, given)

    def __next__(self):
        began = time.perf_counter(), time.process_time()
        try:
            return pickle.dumps(next(self._messages))
        finally:
            self.seconds[0] += time.perf_counter() - began[0]
            self.seconds[1] += time.process_time() - began[1]

    @staticmethod
    def _told(template, epochs, dumped, given):
        yield [Event("kdbench_run_started", run.id, {}) for run in given.runs]
        for start in range(0, len(epochs), EPOCHS_A_MESSAGE):
            some = epochs[start : start + EPOCHS_A_MESSAGE]
            yield [
                Event("kdbench_epoch_ended", run.id, {"epoch": epoch.model_copy()})
                for epoch in some
                for run in given.runs
            ]
        yield [Kept(run.id, {Path("checkpoints", f"{run.id}.safetensors"): WEIGHTS}) for run in given.runs]
        yield [
            Kept(
                run.id, {Path("weights", f"{run.id}.safetensors"): WEIGHTS}, Task._record(template, run, epochs), dumped
            )
            for run in given.runs
        ]

    @staticmethod
    def _record(template, run, epochs):
        curve = tuple(epoch.model_copy() for epoch in epochs)
        return template.model_copy(update={"id": run.id, "run": run, "curve": curve})


class Ray:
    """As much of Ray as the executor asks for."""

    exceptions = SimpleNamespace(RayTaskError=RuntimeError, RayError=ConnectionError)

    def __init__(self, make):
        self._make = make
        self._turn = 0

    def remote(self, **_):
        return lambda thing: SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._begin))

    def _begin(self, *given):
        return self._make(given[0]) if given else None

    def wait(self, generators, **_):
        """One of them has something to tell, by turns."""
        self._turn += 1
        return [generators[self._turn % len(generators)]], []

    def get(self, value):
        return pickle.loads(value)

    def put(self, value):
        return value

    def kill(self, actor):
        pass

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "here")


class Met(Machines):
    """Machines of one CPU each, which have been asked already."""

    def __init__(self, workers):
        self._gpu = False
        self._there = {str(one): Machine(Node(str(one), f"host{one}", 1, 0, 0), None, 1) for one in range(workers)}

    def meet(self):
        pass

    look = meet


def measure(count, workers, epochs):
    registry, dataset = load_plugins(), noise_dataset()
    (base,), (taught,) = runs("student"), runs("kd")
    plain = taught.model_dump()
    group = [
        Run.model_validate(
            plain | {"seed": number // COHORT, "params": plain["params"] | {"tau": 1.0 + number % COHORT}}
        )
        for number in range(count)
    ]
    terms = {"ce": 0.5, "kd": 0.5}
    one = Epoch(epoch=1, lr=0.1, loss=1.0, terms=terms, test_top1=50.0, test_loss=1.0)
    curve = tuple(one.model_copy(update={"epoch": number + 1}) for number in range(epochs))
    template = record(base, 50.0)
    ray = Ray(partial(Task, template, curve, dump_record(template.model_copy(update={"curve": curve}))))
    sys.modules["ray"] = ray
    cluster._at = lambda node_id: {}
    cluster.Machines = lambda *given: Met(workers)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.write(record(taught.teacher.trained_by, 60.0))
        store.weights_path(taught.teacher.trained_by.id).parent.mkdir()
        store.weights_path(taught.teacher.trained_by.id).write_bytes(WEIGHTS)
        teacher = taught.teacher.trained_by
        plan = Plan(group, {teacher.id: store.record(teacher.id)}, [teacher])
        make = partial(cluster.RayExecutor, runs=group, dataset_spec="noise", data_dir=None)
        given = plan, store, registry, dataset, Options(torch.device("cpu"))
        memory, began, cpu = _memory(), time.perf_counter(), time.process_time()
        with Path(os.devnull).open("w") as screen:
            console = Console(file=screen, force_terminal=True, width=120, height=50)
            shown = display(console, group, store, registry, dataset.info)
            with shown, registry.observing(shown):
                summary = execute(*given, make_executor=make)
        seconds, cpu = time.perf_counter() - began - Task.seconds[0], time.process_time() - cpu - Task.seconds[1]
    assert summary.count("done") == count
    times = f"{1e3 * seconds / count:.2f} ms a run, {1e3 * cpu / count:.2f} of the processor"
    print(f"{count} runs, {workers} workers: {times}; memory + {(_memory() - memory) / 1e6:.0f} MB", flush=True)


def _memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=240)
    words = parser.parse_args()
    measure(words.runs, words.workers, words.epochs)
