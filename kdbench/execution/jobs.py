"""In which pieces runs are executed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from kdbench.execution.plan import cohorts
from kdbench.execution.threads import threads_for
from kdbench.run import Run
from kdbench.store.store import Store
from kdbench.training.flops import ForwardFlops


@dataclass(frozen=True)
class Job:
    """A cohort and the threads it computes on."""

    runs: list[Run]
    threads: int


def make_jobs(runs: Iterable[Run], store: Store, device: torch.device, flops: ForwardFlops) -> list[Job]:
    """Cohorts with the number of threads each computes on, the longest first so that workers end together.

    Where cohorts train side by side on a CPU's cores, runs without a teacher, which would share none of its work, are
    jobs of their own, so that no core is left without one.
    """
    by_threads: dict[int, list[Run]] = {}
    for run in runs:
        by_threads.setdefault(threads_for(run, device, flops), []).append(run)
    jobs = []
    for threads, group in by_threads.items():
        for cohort in cohorts(group, store):
            alone = device.type == "cpu" and threads == 1 and not cohort[0].teacher
            jobs += [Job(part, threads) for part in ([[run] for run in cohort] if alone else [cohort])]
    return sorted(jobs, key=lambda job: (job.threads, sum(flops(run.student) for run in job.runs)), reverse=True)
