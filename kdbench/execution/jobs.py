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

#: What others rest on comes first.
_ORDER = {"teacher": 2, "pre_stage": 1, "student": 0}


@dataclass(frozen=True, eq=False)
class Job:
    """A cohort and the threads it computes on; `deaths` counts what trained it and came to an end meanwhile."""

    runs: list[Run]
    threads: int
    deaths: int = 0

    @property
    def role(self) -> str:
        """The role that its runs share."""
        return self.runs[0].role

    @property
    def kind(self) -> tuple[str, int]:
        """What jobs share that find room alike."""
        return self.role, self.threads


def needed_by(run: Run) -> list[Run]:
    """What a run rests on: the runs that train its teacher and its pre-stage."""
    return [needed for needed in (run.teacher.trained_by if run.teacher else None, run.pre_stage) if needed]


def make_jobs(runs: Iterable[Run], store: Store, device: torch.device, flops: ForwardFlops) -> list[Job]:
    """Cohorts with the number of threads each computes on: teachers first, and the longest, so that all end together.

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

    def work(job: Job) -> tuple[int, int, int]:
        return _ORDER[job.role], job.threads, sum(flops(run.student, run.recipe) for run in job.runs)

    return sorted(jobs, key=work, reverse=True)
