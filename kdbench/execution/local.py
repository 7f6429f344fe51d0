"""The local executor: teachers, then pre-stages, then students, cohort after cohort or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from kdbench.data.dataset import Dataset
from kdbench.execution.plan import Plan, cohorts
from kdbench.execution.pool import Job, WorkerPool
from kdbench.execution.threads import threads_for
from kdbench.execution.trainer import Trainer
from kdbench.flops import ForwardFlops
from kdbench.plugins import Registry
from kdbench.run import Run
from kdbench.store.records import Record, Status, Store
from kdbench.training.cohort import Interrupted


@dataclass(frozen=True)
class Options:
    """How to execute, none of which changes a result on a CPU.

    `workers` is the number of processes on a CPU; 0 is all cores. `lanes` is the number of streams that the members of
    a cohort share on a GPU; 0 is as many as are measured to be best. `deterministic` makes a GPU's results bit-exact.
    """

    device: torch.device
    workers: int = 0
    checkpoint_seconds: float = 60.0
    command: str = ""
    plugin_files: tuple[Path, ...] = ()
    dataset_spec: str = ""
    data_dir: Path | None = None
    imported: dict[str, Path] = field(default_factory=dict)
    keep_final: bool = False
    lanes: int = 0
    deterministic: bool = False


@dataclass
class Summary:
    """What an execution did."""

    records: list[Record] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    interrupted: bool = False

    def count(self, status: Status) -> int:
        """Number of runs that ended so."""
        return sum(record.status == status for record in self.records)


def execute(
    plan: Plan,
    store: Store,
    registry: Registry,
    dataset: Dataset,
    options: Options,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Summary:
    """Train what the plan lacks; every run's record is on disk before this returns. A stop ends it early."""
    summary = Summary()
    flops = ForwardFlops(registry, dataset.info)
    try:
        for phase in (plan.teachers, plan.pre_stages, plan.pending):
            ready = [run for run in phase if _rests_on_results(run, store, summary)]
            jobs = [Job(group, threads) for group, threads in _jobs(ready, store, options, flops)]
            summary.records += _train(jobs, store, registry, dataset, options, stop_requested)
    except Interrupted:
        summary.interrupted = True
    return summary


def _rests_on_results(run: Run, store: Store, summary: Summary) -> bool:
    """Whether the teacher and pre-stage of a run are done; if not, the run is skipped with a sentence."""
    for needed in (run.teacher.trained_by if run.teacher else None, run.pre_stage):
        record = store.record(needed.id) if needed else None
        if needed and (record is None or record.status != "done"):
            why = record.failure.reason if record and record.failure else "it was not trained"
            summary.skipped.append(f"{run.title}: not run, since its {needed.title} has no result ({why})")
            return False
    return True


def _jobs(runs: list[Run], store: Store, options: Options, flops: ForwardFlops) -> Iterator[tuple[list[Run], int]]:
    """Cohorts with the number of threads each computes on, the longest first so that workers end together."""
    by_threads: dict[int, list[Run]] = {}
    for run in runs:
        by_threads.setdefault(threads_for(run, options.device, flops), []).append(run)
    for threads, group in sorted(by_threads.items(), reverse=True):
        for cohort in cohorts(group, store):
            yield cohort, threads


def _train(
    jobs: list[Job],
    store: Store,
    registry: Registry,
    dataset: Dataset,
    options: Options,
    stop_requested: Callable[[], bool],
) -> list[Record]:
    cores = torch.get_num_threads()
    workers = 1 if options.device.type == "cuda" else min(options.workers or cores, len(jobs))
    side_by_side = [job for job in jobs if workers > 1 and job.threads == 1]
    records: list[Record] = []
    trainer = Trainer(
        store,
        registry,
        dataset,
        options.device,
        imported=options.imported,
        checkpoint_seconds=options.checkpoint_seconds,
        command=options.command,
        stop_requested=stop_requested,
        emit=registry.notify,
        keep_final=options.keep_final,
        lanes=options.lanes,
        deterministic=options.deterministic,
    )
    try:
        for job in jobs:
            if job not in side_by_side:
                torch.set_num_threads(job.threads)
                records += trainer.train(job.runs)
    finally:
        torch.set_num_threads(cores)
    if side_by_side:
        with WorkerPool(store, registry, options, min(workers, len(side_by_side)), stop_requested) as pool:
            records += pool.train(side_by_side)
    return records
