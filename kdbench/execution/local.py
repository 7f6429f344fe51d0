"""The local executor: teachers, then pre-stages, then students, cohort after cohort or side by side.

Other processes may work on the same results folder: what they hold is left to them, and taken over if they are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from kdbench.data.dataset import Dataset
from kdbench.execution.footprint import Footprint
from kdbench.execution.jobs import Job, make_jobs
from kdbench.execution.last_batch import check_last_batch
from kdbench.execution.options import Options
from kdbench.execution.plan import Plan
from kdbench.execution.pool import WorkerPool
from kdbench.execution.side_by_side import measured_workers
from kdbench.execution.staleness import read_sources
from kdbench.execution.trainer import Trainer
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted
from kdbench.losses import backend
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.claims import Claims
from kdbench.store.files import NotWritten
from kdbench.store.records import Record, Status, dump_record
from kdbench.store.store import Store
from kdbench.training import concurrency
from kdbench.training.cohort import Interrupted
from kdbench.training.flops import ForwardFlops

#: How long to wait for other processes before looking again, in seconds.
WAIT_SECONDS = 1.0


@dataclass
class Summary:
    """What an execution did; `others` are the records of runs that other processes ended meanwhile."""

    records: list[Record] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)
    interrupted: bool = False

    def count(self, status: Status) -> int:
        """Number of runs that ended so, whoever trained them."""
        return sum(record.status == status for record in (*self.records, *self.others))


def execute(
    plan: Plan,
    store: Store,
    registry: Registry,
    dataset: Dataset,
    options: Options,
    stop_requested: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Summary:
    """Train what the plan lacks; every run's record is on disk before this returns. A stop ends it early.

    Raises `UserError` before training where a run cannot be trained on the last batch of these data.

    `say` hears what this waits for.
    """
    # A name that is none would fail every run at its first step.
    backend.requested()
    concurrency.requested()
    read_sources(registry)
    check_last_batch([*plan.teachers, *plan.pre_stages, *plan.pending], registry, dataset)
    try:
        with Claims(store.claims) as claims:
            return _Execution(plan, store, registry, dataset, options, stop_requested, claims, say).run()
    except NotWritten as error:
        raise UserError(f"{error}; what is finished is kept, and the same command goes on from there.") from error


class _Execution:
    def __init__(
        self,
        plan: Plan,
        store: Store,
        registry: Registry,
        dataset: Dataset,
        options: Options,
        stop_requested: Callable[[], bool],
        claims: Claims,
        say: Callable[[str], None],
    ):
        self._plan = plan
        self._store = store
        self._registry = registry
        self._dataset = dataset
        self._options = options
        self._stop_requested = stop_requested
        self._claims = claims
        self._say = say
        self._flops = ForwardFlops(registry, dataset.info)
        #: Failed runs are tried again, once: what failed before this execution is told from what fails in it, by its
        #: bytes, since a NaN in its curve equals nothing. What is finished by now was finished by another process since
        #: the plan was made.
        before = (store.record(run.id) for run in self._all)
        self._failed_before = {
            record.id: dump_record(record) for record in before if record and record.status == "failed"
        }
        self._over: set[str] = set()
        self._summary = Summary()
        self._pool = WorkerPool(store, registry, dataset, options, stop_requested)

    def run(self) -> Summary:
        with self._pool:
            return self._run()

    def _run(self) -> Summary:
        summary, told = self._summary, ""
        try:
            while True:
                ended = self._pass()
                summary.records += ended
                self._over.update(record.id for record in ended)
                left = self._left(self._all)
                holders = sorted({owner for run in left if (owner := self._claims.owner(run.id))})
                if not holders:
                    skipped = [why for run in left if (why := self._lacks(run))]
                    if len(skipped) == len(left):
                        break
                if ended:
                    continue
                if holders:
                    sentence = f"waiting for {', '.join(holders)} to train or leave {counted(len(left), 'run')}"
                    if sentence != told:
                        self._say(sentence)
                        told = sentence
                # Also where nobody is seen to hold what cannot be claimed: a shared folder's list may be seconds old.
                self._wait()
        except Interrupted:
            summary.interrupted = True
            return summary
        summary.skipped += skipped
        return summary

    @property
    def _all(self) -> list[Run]:
        return self._plan.to_train

    def _pass(self) -> list[Record]:
        """Train once whatever is left, free, and rests on results; the records."""
        records: list[Record] = []
        for phase in (self._plan.teachers, self._plan.pre_stages, self._plan.pending):
            free = [run for run in self._left(phase) if not self._lacks(run) and self._claims.owner(run.id) is None]
            records += self._train(make_jobs(free, self._store, self._options.device, self._flops))
        return records

    def _left(self, runs: list[Run]) -> list[Run]:
        for run in runs:
            if run.id not in self._over:
                record = self._store.record(run.id)
                if record is not None and dump_record(record) != self._failed_before.get(run.id):
                    self._over.add(run.id)
                    self._summary.others.append(record)
        return [run for run in runs if run.id not in self._over]

    def _lacks(self, run: Run) -> str | None:
        """Why a run cannot be trained, None if it can be."""
        for needed in _needed(run):
            record = self._store.record(needed.id)
            if record is None or record.status != "done":
                why = record.failure.reason if record and record.failure else "it was not trained"
                return f"{run.title}: not run, since its {needed.title} has no result ({why})"
        return None

    def _train(self, jobs: list[Job]) -> list[Record]:
        cores, gpu = torch.get_num_threads(), self._options.device.type == "cuda"
        workers = min(self._options.workers or (self._measured_workers(jobs) if gpu else cores), len(jobs))
        side_by_side = [job for job in jobs if workers > 1 and (gpu or job.threads == 1)]
        records: list[Record] = []
        trainer = Trainer(
            self._store,
            self._registry,
            self._dataset,
            self._options,
            stop_requested=self._stop_requested,
            emit=self._registry.notify,
        )
        try:
            for job in jobs:
                if job not in side_by_side and (runs := self._claim(job)):
                    torch.set_num_threads(job.threads)
                    records += trainer.train(runs)
                    self._claims.release([run.id for run in runs])
        finally:
            torch.set_num_threads(cores)
        if side_by_side:
            records += self._pool.train(side_by_side, workers, self._claim, self._claims.release)
        return records

    def _measured_workers(self, jobs: list[Job]) -> int:
        def rate(job: Job, count: int) -> float:
            if count == 1:
                self._say("measuring how many cohorts to train side by side, once for this device (or give --workers)")
            # Of its own, so that the device's memory is free again.
            with WorkerPool(self._store, self._registry, self._dataset, self._options, self._stop_requested) as pool:
                return pool.pace(job, count)

        footprint = Footprint(self._registry, self._dataset.info)
        return measured_workers(jobs, self._options.device, footprint, rate) if jobs else 1

    def _claim(self, job: Job) -> list[Run]:
        """Those runs of a job that are free and that nobody has ended meanwhile, now held by this process."""
        taken = self._claims.take(run.id for run in job.runs)
        left = self._left([run for run in job.runs if run.id in taken])
        self._claims.release({*taken} - {run.id for run in left})
        return left

    def _wait(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            if self._stop_requested():
                raise Interrupted
            time.sleep(0.05)


def _needed(run: Run) -> list[Run]:
    """What a run rests on: the runs that train its teacher and its pre-stage."""
    return [needed for needed in (run.teacher.trained_by if run.teacher else None, run.pre_stage) if needed]
