"""Execution of a plan: every job as soon as what it rests on has been trained and there is room for it.

Other processes may work on the same results folder: what they hold is left to them, and taken over if they are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kdbench.data.streamed import AnyDataset
from kdbench.execution.executor import Ended, Executor
from kdbench.execution.jobs import Job, make_jobs, needed_by
from kdbench.execution.last_batch import check_last_batch
from kdbench.execution.local import LocalExecutor
from kdbench.execution.options import Options
from kdbench.execution.plan import Plan
from kdbench.execution.staleness import read_sources
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted
from kdbench.losses import backend
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.claims import Claims
from kdbench.store.files import NotWritten
from kdbench.store.records import Status, dump_record
from kdbench.store.store import Store
from kdbench.training import concurrency
from kdbench.training.flops import ForwardFlops

#: How long to wait for other processes before looking again, in seconds.
WAIT_SECONDS = 1.0


@dataclass
class Summary:
    """What an execution did: how runs ended, by run id; `others` are those that other processes ended meanwhile."""

    records: dict[str, Status] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    others: dict[str, Status] = field(default_factory=dict)
    interrupted: bool = False

    def count(self, status: Status) -> int:
        """Number of runs that ended so, whoever trained them."""
        return sum(ended == status for ended in (*self.records.values(), *self.others.values()))


#: Makes what executes jobs, of (store, registry, data set, options, stop requested, say).
MakeExecutor = Callable[
    [Store, Registry, AnyDataset, Options, Callable[[], bool], Callable[[str], None]],
    Executor,
]


def execute(
    plan: Plan,
    store: Store,
    registry: Registry,
    dataset: AnyDataset,
    options: Options,
    stop_requested: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda sentence: None,
    make_executor: MakeExecutor = LocalExecutor,
) -> Summary:
    """Train what the plan lacks; every run's record is on disk before this returns. A stop ends it early.

    Raises `UserError` before training where a run cannot be trained on the last batch of these data.

    `say` hears what this waits for.
    """
    # A name that is none would fail every run at its first step.
    backend.requested()
    concurrency.requested()
    read_sources(registry)
    check_last_batch(plan.to_train, registry, dataset)
    flops = ForwardFlops(registry, dataset.info)
    try:
        with (
            Claims(store.claims) as claims,
            make_executor(store, registry, dataset, options, stop_requested, say) as executor,
        ):
            jobs_of = _Jobs(store, options, flops)
            return _Execution(plan, store, claims, jobs_of, executor, stop_requested, say).run()
    except NotWritten as error:
        raise UserError(f"{error}; what is finished is kept, and the same command goes on from there.") from error


@dataclass(frozen=True)
class _Jobs:
    """The pieces in which runs are executed on one kind of device."""

    store: Store
    options: Options
    flops: ForwardFlops

    def __call__(self, runs: list[Run]) -> list[Job]:
        return make_jobs(runs, self.store, self.options.device, self.flops)


class _Execution:
    def __init__(
        self,
        plan: Plan,
        store: Store,
        claims: Claims,
        jobs_of: Callable[[list[Run]], list[Job]],
        executor: Executor,
        stop_requested: Callable[[], bool],
        say: Callable[[str], None],
    ):
        self._all = plan.to_train
        self._records = plan.records
        self._store = store
        self._claims = claims
        self._jobs_of = jobs_of
        self._executor = executor
        self._stop_requested = stop_requested
        self._say = say
        #: Failed runs are tried again, once: what failed before this execution is told from what fails in it, by its
        #: bytes, since a NaN in its curve equals nothing. What is finished by now was finished by another process since
        #: the plan was made.
        before = (store.record(run.id) for run in self._all)
        self._failed_before = {
            record.id: dump_record(record) for record in before if record and record.status == "failed"
        }
        self._summary = Summary()

    def run(self) -> Summary:
        summary, told = self._summary, ""
        while True:
            ended = self._pass()
            if summary.interrupted:
                return summary
            left = self._left(self._all)
            holders = sorted({*self._claims.owners(run.id for run in left).values()})
            if not holders:
                skipped = [why for run in left if (why := self._lacks(run))]
                if len(skipped) == len(left):
                    summary.skipped += skipped
                    return summary
            if ended:
                continue
            if holders:
                sentence = f"waiting for {', '.join(holders)} to train or leave {counted(len(left), 'run')}"
                if sentence != told:
                    self._say(sentence)
                    told = sentence
            # Also where nobody is seen to hold what cannot be claimed: a shared folder's list may be seconds old.
            self._wait()
            if summary.interrupted:
                return summary

    def _pass(self) -> int:
        """Train once whatever is left and free and comes to rest on results meanwhile; how many runs ended."""
        before = len(self._summary.records)
        left = self._left(self._all)
        held = self._claims.owners(run.id for run in left)
        jobs = self._jobs_of([run for run in left if run.id not in held])
        self._executor.expect(tuple(jobs))
        needs = {job: frozenset(needed.id for run in job.runs for needed in needed_by(run)) for job in jobs}
        #: Runs that this pass has still to see the end of; who rests on them waits.
        expected = {run.id for job in jobs for run in job.runs}
        #: By kind: thousands of one may wait, and where one has no room no other has.
        waiting: dict[tuple[str, int], list[Job]] = {}
        for job in jobs:
            waiting.setdefault(job.kind, []).append(job)
        running: set[Job] = set()
        while running or (any(waiting.values()) and not self._summary.interrupted):
            if not self._summary.interrupted and self._stop_requested():
                self._summary.interrupted = True
                self._executor.stop()
            for alike in [] if self._summary.interrupted else waiting.values():
                for job in alike[:]:
                    if not needs[job].isdisjoint(expected):
                        continue
                    if not self._executor.has_room(job):
                        break
                    alike.remove(job)
                    runs = self._claim(job)
                    expected -= {run.id for run in job.runs} - {run.id for run in runs}
                    if runs:
                        begun = replace(job, runs=runs)
                        running.add(begun)
                        self._executor.begin(begun)
            for ended in self._executor.hear():
                running.remove(ended.job)
                rest = self._end(ended)
                expected -= {run.id for run in ended.job.runs} - {run.id for job in rest for run in job.runs}
                needs |= dict.fromkeys(rest, frozenset())
                if rest:
                    waiting[rest[0].kind][:0] = rest
        return len(self._summary.records) - before

    def _end(self, ended: Ended) -> list[Job]:
        """Take note of a job's end; in which pieces it goes on where it was lost."""
        self._summary.records |= ended.how
        left = [run for run in ended.job.runs if run.id not in self._summary.records] if ended.lost else []
        self._claims.release(run.id for run in ended.job.runs)
        deaths = ended.job.deaths + 1
        # What cannot be told from want of memory is tried with less of it.
        size = len(left) if deaths < 2 else max(1, len(left) // 2)
        return [
            Job(left[start : start + size], ended.job.threads, deaths) for start in range(0, len(left), max(1, size))
        ]

    def _left(self, runs: list[Run]) -> list[Run]:
        left = []
        for run in runs:
            if run.id in self._summary.records or run.id in self._summary.others:
                continue
            record = self._store.record(run.id)
            if record is not None and dump_record(record) != self._failed_before.get(run.id):
                self._summary.others[run.id] = record.status
            else:
                left.append(run)
        return left

    def _lacks(self, run: Run) -> str | None:
        """Why a run cannot be trained, None if it can be."""
        for needed in needed_by(run):
            # What is finished stays so.
            if self._done(needed):
                continue
            record = self._store.record(needed.id)
            if record is None or record.status != "done":
                why = record.failure.reason if record and record.failure else "it was not trained"
                return f"{run.title}: not run, since its {needed.title} has no result ({why})"
        return None

    def _done(self, run: Run) -> bool:
        known = self._records.get(run.id)
        return (known.status if known else self._summary.records.get(run.id)) == "done"

    def _claim(self, job: Job) -> list[Run]:
        """Those runs of a job that can be trained, that are free and that nobody has ended meanwhile, now held by this
        process.
        """
        able = [run for run in job.runs if not self._lacks(run)]
        taken = set(self._claims.take(run.id for run in able))
        left = self._left([run for run in able if run.id in taken])
        self._claims.release(taken - {run.id for run in left})
        return left

    def _wait(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until and not self._summary.interrupted:
            self._summary.interrupted = self._stop_requested()
            time.sleep(0.05)
