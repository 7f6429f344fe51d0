"""Worker processes: small cohorts side by side on the cores of one machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from kdbench.errors import UserError
from kdbench.execution.trainer import Trainer
from kdbench.plugins import Registry, load_plugins
from kdbench.run import Run
from kdbench.store.records import Record, Store
from kdbench.training.cohort import Interrupted

if TYPE_CHECKING:
    from kdbench.execution.local import Options

#: How long the parent waits for an event before it looks at the signals again, in seconds.
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Job:
    """A cohort and the threads it computes on."""

    runs: list[Run]
    threads: int


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
        self._pool = ProcessPoolExecutor(
            workers, context, _start_worker, (store, options, self._stop, self._events, os.getpid())
        )

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._events.close()

    def train(self, jobs: list[Job]) -> list[Record]:
        """Train all jobs. Raises `Interrupted` after a stop, once every worker has written its state."""
        futures: list[Future[list[Record]]] = [self._pool.submit(_work, job) for job in jobs]
        while not all(future.done() for future in futures):
            self._hear(POLL_SECONDS)
            if self._stop_requested() and not self._stop.is_set():
                self._stop.set()
                for future in futures:
                    future.cancel()
        while self._hear(POLL_SECONDS):
            pass
        try:
            records = [record for future in futures if not future.cancelled() for record in future.result()]
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, most likely for want of memory; run again with fewer --workers "
                "(what is finished is kept)."
            ) from None
        if any(future.cancelled() for future in futures):
            raise Interrupted
        return records

    def _hear(self, seconds: float) -> bool:
        """Pass one event on to the observers; False if none came in time."""
        try:
            hook, event = self._events.get(timeout=seconds)
        except queue.Empty:
            return False
        self._registry.notify(hook, **event)
        return True


#: Set once in each worker process by its initializer, the only channel that a process pool offers.
_trainer: Trainer | None = None


def _start_worker(store: Store, options: Options, stop: Any, events: Any, parent: int) -> None:
    # Ctrl-C reaches the whole process group; the parent decides when workers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    registry = load_plugins(options.plugin_files)
    global _trainer
    _trainer = Trainer(
        store,
        registry,
        registry.dataset(options.dataset_spec).load(options.data_dir),
        options.device,
        imported=options.imported,
        checkpoint_seconds=options.checkpoint_seconds,
        command=options.command,
        # A worker whose parent was killed stops as well.
        stop_requested=lambda: stop.is_set() or os.getppid() != parent,
        emit=lambda hook, **event: events.put((hook, event)),
        keep_final=options.keep_final,
        deterministic=options.deterministic,
    )


def _work(job: Job) -> list[Record]:
    assert _trainer is not None
    torch.set_num_threads(job.threads)
    return _trainer.train(job.runs)
