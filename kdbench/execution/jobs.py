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
    """Cohorts with the number of threads each computes on, the longest first so that workers end together."""
    by_threads: dict[int, list[Run]] = {}
    for run in runs:
        by_threads.setdefault(threads_for(run, device, flops), []).append(run)
    return [
        Job(cohort, threads)
        for threads, group in sorted(by_threads.items(), reverse=True)
        for cohort in cohorts(group, store)
    ]
