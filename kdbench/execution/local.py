"""The executor of one machine: jobs in this process, or side by side in worker processes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

import torch

from kdbench.data.streamed import AnyDataset
from kdbench.execution.executor import Ended
from kdbench.execution.footprint import Footprint
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.execution.places import Place, places
from kdbench.execution.pool import WorkerPool
from kdbench.execution.side_by_side import measured_workers
from kdbench.execution.trainer import Trainer
from kdbench.registry import Registry
from kdbench.store.records import Record
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted


class LocalExecutor:
    """Jobs side by side on the cores of this machine, or on its GPUs, of which each takes as many as suit it.

    What takes all cores, or the only GPU, is trained in this process.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        dataset: AnyDataset,
        options: Options,
        stop_requested: Callable[[], bool],
        say: Callable[[str], None],
    ):
        self._given = store, registry, dataset, options
        self._options = options
        self._stop_requested = stop_requested
        self._say = say
        self._places = places(options)
        self._pool = WorkerPool(*self._given)
        self._ended: list[Ended] = []
        self._expected: Sequence[Job] = ()
        self._at: dict[Job, Place] = {}
        #: How many jobs of a role one place takes at a time.
        self._most: dict[str, int] = {}

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close(at_once=kind is KeyboardInterrupt)

    def expect(self, jobs: Sequence[Job]) -> None:
        """See `Executor`."""
        self._expected = jobs
        self._most.clear()

    def has_room(self, job: Job) -> bool:
        """See `Executor`."""
        if self._here(job):
            return not self._at and not self._ended
        return self._side_by_side(job) > 0 and self._free_place(job) is not None

    def begin(self, job: Job) -> None:
        """See `Executor`; returns when the job has ended where it is trained in this process."""
        if self._here(job):
            self._ended.append(Ended.of(job, self._train(job)))
            return
        place = self._free_place(job)
        assert place is not None
        self._at[job] = place
        self._pool.begin(job, place)

    def hear(self) -> Iterator[Ended]:
        """See `Executor`. Raises `UserError` where a worker died."""
        yield from self._ended
        self._ended.clear()
        for job, records in self._pool.hear() if self._at else ():
            del self._at[job]
            yield Ended.of(job, records)

    def stop(self) -> None:
        """See `Executor`; what is trained in this process asks for itself."""
        self._pool.stop()

    def _here(self, job: Job) -> bool:
        if self._options.device.type == "cpu" and job.threads > 1:
            return True
        return not self._places[0].variables and self._side_by_side(job) == 1

    def _side_by_side(self, job: Job) -> int:
        """How many jobs like this one a place takes; 0 where that can only be measured once nothing else is trained."""
        if self._options.device.type == "cpu":
            self._most[job.role] = min(self._options.workers or torch.get_num_threads(), len(self._expected))
        elif self._options.workers:
            self._most[job.role] = self._options.workers
        elif job.role not in self._most and not self._at:
            # A stop is heard where jobs are waited for.
            with contextlib.suppress(Interrupted):
                self._most[job.role] = self._measured(job)
        return self._most.get(job.role, 0)

    def _free_place(self, job: Job) -> Place | None:
        """The place with the most room, if that is enough."""
        taken = dict.fromkeys(self._places, 0.0)
        for other, place in self._at.items():
            taken[place] += 1 / self._most[other.role]
        place = min(taken, key=taken.__getitem__)
        return place if taken[place] + 1 / self._most[job.role] <= 1 + 1e-6 else None

    def _train(self, job: Job) -> list[Record]:
        trainer = Trainer(*self._given, stop_requested=self._stop_requested, emit=self._given[1].notify)
        cores = torch.get_num_threads()
        torch.set_num_threads(job.threads)
        try:
            return trainer.train(job.runs)
        except Interrupted:
            return []
        finally:
            torch.set_num_threads(cores)

    def _measured(self, job: Job) -> int:
        alike = sum(other.role == job.role for other in self._expected)

        def rate(job: Job, count: int) -> float:
            if count == 1:
                self._say("measuring how many cohorts to train side by side, once for this device (or give --workers)")
            # Of its own, so that the device's memory is free again.
            pool = WorkerPool(*self._given)
            try:
                return pool.pace(job, count, self._places[0], self._stop_requested)
            finally:
                pool.close(at_once=False)

        _, registry, dataset, options = self._given
        footprint = Footprint(registry, dataset.info)
        return measured_workers([job] * math.ceil(alike / len(self._places)), options.device, footprint, rate)
