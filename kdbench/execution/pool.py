"""Worker processes, as their parent sees them: cohorts side by side on the cores or the GPUs of one machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from kdbench.data.streamed import AnyDataset
from kdbench.execution import birth
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.execution.places import Place
from kdbench.execution.worker import GO, STOP, Message, Order, work
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.store.records import Record
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted

#: How long the parent waits for a word of its workers before it looks at the signals again, in seconds.
POLL_SECONDS = 0.1


class WorkerPool:
    """Processes that each train one cohort at a time. Their events reach the observers of this process.

    They are started when there is something for them to do, each for one place, and stay until the pool is closed.
    """

    def __init__(self, store: Store, registry: Registry, dataset: AnyDataset, options: Options):
        self._given = store, options, dataset
        self._registry = registry
        self._stopping = False
        self._team: list[_Worker] = []
        self._busy: dict[_Worker, Job] = {}

    def close(self, *, at_once: bool) -> None:
        """Let every worker end what it does and go; at once, they are ended where they are.

        Their unfinished runs have their last checkpoints then.
        """
        try:
            if not at_once:
                self._dismiss()
        finally:
            for worker in self._team:
                worker.process.kill()
                worker.process.join()

    def begin(self, job: Job, place: Place) -> None:
        """Let a worker of the place train a job."""
        idle = (w for w in self._team if w.place is place and w not in self._busy and w.process.is_alive())
        worker = next(idle, None) or self._hire(place)
        worker.tell(Order("train", job.runs, job.threads))
        self._busy[worker] = job

    def hear(self) -> Iterator[tuple[Job, list[Record]]]:
        """The jobs that have ended, with their records, none after a stop. Raises `UserError` where a worker died."""
        for worker, message in self._hear():
            if worker in self._busy:
                job = self._busy.pop(worker)
                yield job, _result(worker, message) or []

    def stop(self) -> None:
        """Ask every worker to end after its present batch, all written."""
        if not self._stopping:
            self._stopping = True
            for worker in self._team:
                worker.tell(STOP)

    def pace(self, job: Job, workers: int, place: Place, stop_requested: Callable[[], bool]) -> float:
        """Training steps a second of so many workers together, each with a copy of the job's cohort; 0 if one cannot.

        Nothing of them is kept. Raises `Interrupted` after a stop.
        """
        preparing = {self._hire(place) for _ in range(workers)}
        running = set(preparing)
        for worker in running:
            worker.tell(Order("pace", job.runs, job.threads))
        rate = 0.0
        while running:
            for worker, message in self._hear():
                if message is None or message.kind == "failed":
                    return 0.0
                if message.kind == "done":
                    running.discard(worker)
                    rate += 1 / message.value
                if message.kind == "ready":
                    preparing.discard(worker)
                    if not preparing:
                        for other in running:
                            other.tell(GO)
            if stop_requested():
                raise Interrupted
        return rate

    def _hire(self, place: Place) -> _Worker:
        try:
            worker = _Worker(*self._given, place)
        except OSError as error:
            raise UserError(
                f"worker process {len(self._team) + 1} cannot be started ({error.strerror or error}); run again with "
                "fewer --workers (what is finished is kept)."
            ) from error
        self._team.append(worker)
        return worker

    def _dismiss(self) -> None:
        """Let every worker end what it does; what happens meanwhile is still told."""
        self.stop()
        while self._team:
            for _ in self._hear():
                pass

    def _hear(self) -> Iterator[tuple[_Worker, Message | None]]:
        """What workers have said by now, None for one that has ended; events are passed on to the observers."""
        by_pipe: dict[Any, _Worker] = {worker.pipe: worker for worker in self._team}
        for pipe in wait(list(by_pipe), POLL_SECONDS):
            worker = by_pipe[pipe]
            message = worker.hear()
            if message is None:
                self._team.remove(worker)
            if message and message.kind == "event":
                hook, event = message.value
                self._registry.notify(hook, **event)
            else:
                yield worker, message


class _Worker:
    """The parent's end of a worker process."""

    def __init__(self, store: Store, options: Options, dataset: AnyDataset, place: Place):
        self.place = place
        context = birth.context()
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        # As bytes: torch would send tensors through shared memory, of which a container may have none to speak of.
        data, there = pickle.dumps(dataset), replace(options, device=place.device)
        self.process = context.Process(
            target=work, args=(theirs, store, there, data, {**os.environ, **place.variables})
        )
        with birth.quiet_birth():
            self.process.start()
        # From here on the worker's end is its own, and closed when it ends.
        theirs.close()

    def tell(self, what: Order | str | None) -> None:
        """Say something to the worker; whether it lives is seen where it is heard."""
        with contextlib.suppress(OSError):
            self.pipe.send(what)

    def hear(self) -> Message | None:
        """What the worker says next; None, and it is gone, if that was the end."""
        try:
            message: Message = self.pipe.recv()
            return message
        except (EOFError, OSError):
            self.process.join()
            self.pipe.close()
            return None


def _result(worker: _Worker, message: Message | None) -> list[Record] | None:
    """The records that an order gave; None after a stop."""
    if message is None:
        raise UserError(_how_it_died(worker.process.exitcode))
    if message.kind == "failed":
        if isinstance(message.value, UserError):
            raise message.value
        raise RuntimeError(f"in a worker process:\n{message.value}")
    records: list[Record] | None = message.value
    return records


def _how_it_died(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return (
            "a worker process was killed, most likely for want of memory; run again with fewer --workers (what is "
            "finished is kept)."
        )
    how = f"signal {-code}" if code and code < 0 else f"exit code {code}"
    return (
        f"a worker process ended with {how} while it trained, which a library or a plugin may have brought about; run "
        "again with --workers 1 to see more (what is finished is kept)."
    )
