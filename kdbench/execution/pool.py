"""Worker processes, as their parent sees them: small cohorts side by side on the cores of one machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

from kdbench.data.dataset import Dataset
from kdbench.execution import birth
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.execution.worker import GO, STOP, Message, Order, work
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.records import Record
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted

#: How long the parent waits for a word of its workers before it looks at the signals again, in seconds.
POLL_SECONDS = 0.1


class WorkerPool:
    """Processes that each train one cohort at a time. Their events reach the observers of this process.

    They are started when there is something for them to do, and stay until the context is left.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        dataset: Dataset,
        options: Options,
        stop_requested: Callable[[], bool],
    ):
        self._given = store, options, dataset
        self._registry = registry
        self._stop_requested = stop_requested
        self._stopping = False
        self._team: list[_Worker] = []

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not KeyboardInterrupt:
                self._dismiss()
        finally:
            # A second signal stops at once; workers' unfinished runs have their last checkpoints.
            for worker in self._team:
                worker.process.kill()
                worker.process.join()

    def train(
        self,
        jobs: list[Job],
        workers: int,
        claim: Callable[[Job], list[Run]],
        release: Callable[[Iterable[str]], None],
    ) -> list[Record]:
        """Train what can be claimed of the jobs, so many at a time, each claimed when a worker is free for it and
        released at its end.

        Raises `Interrupted` after a stop, once every worker has written its state, and `UserError` where a worker died.
        """
        waiting, records = list(jobs), list[Record]()
        busy: dict[_Worker, list[Run]] = {}
        while busy or (waiting and not self._stopping):
            while waiting and len(busy) < workers and not self._stopping:
                job = waiting.pop(0)
                if runs := claim(job):
                    idle = (worker for worker in self._team if worker not in busy and worker.process.is_alive())
                    worker = next(idle, None) or self._hire()
                    worker.tell(Order("train", runs, job.threads))
                    busy[worker] = runs
            for worker, message in self._hear():
                if worker in busy:
                    ended = busy.pop(worker)
                    records += _result(worker, message) or []
                    release(run.id for run in ended)
            if self._stop_requested():
                self._stop()
        if self._stopping:
            raise Interrupted
        return records

    def pace(self, job: Job, workers: int) -> float:
        """Training steps a second of so many workers together, each with a copy of the job's cohort; 0 if one cannot.

        Nothing of them is kept. Raises `Interrupted` after a stop.
        """
        while len(self._team) < workers:
            self._hire()
        preparing, running = set(self._team), set(self._team)
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
            if self._stop_requested():
                raise Interrupted
        return rate

    def _hire(self) -> _Worker:
        try:
            worker = _Worker(*self._given)
        except OSError as error:
            raise UserError(
                f"worker process {len(self._team) + 1} cannot be started ({error.strerror or error}); run again with "
                "fewer --workers (what is finished is kept)."
            ) from error
        self._team.append(worker)
        return worker

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            for worker in self._team:
                worker.tell(STOP)

    def _dismiss(self) -> None:
        """Let every worker end what it does; what happens meanwhile is still told."""
        self._stop()
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

    def __init__(self, store: Store, options: Options, dataset: Dataset):
        context = birth.context()
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        # As bytes: torch would send tensors through shared memory, of which a container may have none to speak of.
        data = pickle.dumps(dataset)
        self.process = context.Process(target=work, args=(theirs, store, options, data, dict(os.environ)))
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
