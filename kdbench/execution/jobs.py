"""What executing takes: how, and in which pieces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from kdbench.execution.plan import cohorts
from kdbench.execution.threads import threads_for
from kdbench.run import Run
from kdbench.store.store import Store
from kdbench.training.flops import ForwardFlops

#: How old a run's last checkpoint may be at the end of an epoch, unless told otherwise.
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Options:
    """How to execute, none of which changes a result on a CPU.

    `workers` is the number of processes that train cohorts side by side; 0 is all cores on a CPU, and on a GPU as many
    as are measured to be best. `lanes` is the number of streams that the members of a cohort share on a GPU; 0 is as
    many as are measured to be best. `deterministic` makes a GPU's results bit-exact.
    """

    device: torch.device
    workers: int = 0
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    command: str = ""
    plugin_files: tuple[Path, ...] = ()
    dataset_spec: str = ""
    data_dir: Path | None = None
    imported: dict[str, Path] = field(default_factory=dict)
    keep_final: bool = False
    lanes: int = 0
    deterministic: bool = False


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
