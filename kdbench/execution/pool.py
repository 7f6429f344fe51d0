"""Worker processes: small cohorts side by side on the cores of one machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

import torch

from kdbench.errors import UserError
from kdbench.execution.interrupt import StopSignal
from kdbench.execution.jobs import Job, Options
from kdbench.execution.trainer import Trainer
from kdbench.plugins import load_plugins
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.records import Record
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted

#: How long the parent waits for an event before it looks at the signals again, in seconds.
POLL_SECONDS = 0.1


class WorkerPool:
    """Processes that each train one cohort at a time. Their events reach the observers of this process."""

    def __init__(
        self, store: Store, registry: Registry, options: Options, workers: int, stop_requested: Callable[[], bool]
    ):
        # A forked torch may hang in its thread pools, so workers start afresh.
        context = multiprocessing.get_context("spawn")
        self._registry = registry
        self._stop_requested = stop_requested
        self._stop = context.Event()
        self._events = context.Queue()
        self._start_line = context.Barrier(workers)
        self._workers = workers
        shared = (self._stop, self._events, self._start_line)
        self._pool = ProcessPoolExecutor(workers, context, _start_worker, (store, options, *shared, os.getpid()))

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is KeyboardInterrupt:
            # A second signal stops at once; workers' unfinished runs have their last checkpoints.
            for child in multiprocessing.active_children():
                child.kill()
        self._pool.shutdown(cancel_futures=True)
        self._events.close()

    def train(
        self, jobs: list[Job], claim: Callable[[Job], list[Run]], release: Callable[[Iterable[str]], None]
    ) -> list[Record]:
        """Train what can be claimed of the jobs, each claimed when a worker is free for it and released at its end.

        Raises `Interrupted` after a stop, once every worker has written its state.
        """
        waiting, records = list(jobs), list[Record]()
        running: dict[Future[list[Record]], list[Run]] = {}
        while waiting or running:
            while waiting and len(running) < self._workers and not self._stop.is_set():
                job = waiting.pop(0)
                if runs := claim(job):
                    running[self._pool.submit(_work, runs, job.threads)] = runs
            self._hear(POLL_SECONDS)
            if self._stop_requested():
                self._stop.set()
            for future in [future for future in running if future.done()]:
                ended = running.pop(future)
                records += _result(future)
                release(run.id for run in ended)
            if self._stop.is_set() and not running:
                break
        while self._hear(POLL_SECONDS):
            pass
        if self._stop.is_set():
            raise Interrupted
        return records

    def pace(self, job: Job) -> float:
        """Training steps a second of all workers together, each with a copy of the job's cohort; 0 where one cannot.

        Nothing of them is kept. Raises `Interrupted` after a stop.
        """
        running = {self._pool.submit(_pace, job.runs, job.threads) for _ in range(self._workers)}
        copies = set(running)
        while running:
            _, running = wait(running, POLL_SECONDS)
            if self._stop_requested():
                self._start_line.abort()
                raise Interrupted
        if any(copy.exception() for copy in copies):
            return 0.0
        return sum(1 / copy.result() for copy in copies)

    def _hear(self, seconds: float) -> bool:
        """Pass one event on to the observers; False if none came in time."""
        try:
            hook, event = self._events.get(timeout=seconds)
        except queue.Empty:
            return False
        self._registry.notify(hook, **event)
        return True


def _result(future: Future[list[Record]]) -> list[Record]:
    try:
        return future.result()
    except Interrupted:
        return []
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, most likely for want of memory; run again with fewer --workers (what is "
            "finished is kept)."
        ) from None


#: Set once in each worker process by its initializer, the only channel that a process pool offers.
_trainer: Trainer | None = None
_start_line: Any = None


def _start_worker(store: Store, options: Options, stop: Any, events: Any, start_line: Any, parent: int) -> None:
    # Signals may reach the whole process group; the parent decides when workers stop.
    for number in StopSignal.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    registry = load_plugins(options.plugin_files)
    global _trainer, _start_line
    _start_line = start_line
    _trainer = Trainer(
        store,
        registry,
        registry.dataset(options.dataset_spec).load(options.data_dir),
        options,
        # A worker whose parent was killed stops as well.
        stop_requested=lambda: stop.is_set() or os.getppid() != parent,
        emit=lambda hook, **event: events.put((hook, event)),
    )


def _work(runs: list[Run], threads: int) -> list[Record]:
    assert _trainer is not None
    torch.set_num_threads(threads)
    return _trainer.train(runs)


def _pace(runs: list[Run], threads: int) -> float:
    assert _trainer is not None
    torch.set_num_threads(threads)
    try:
        return _trainer.pace(runs, _start_line.wait)
    except Exception:
        # The others wait for this one.
        _start_line.abort()
        raise
