"""The plan: what is done, what is left, which teachers it takes, and which runs train together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from kdbench.cells import distinct
from kdbench.execution.staleness import Present
from kdbench.run import Run
from kdbench.store.progress import Progress
from kdbench.store.records import Damaged, Record
from kdbench.store.store import Store, checkpoint_versions

#: Members of a cohort share one machine's memory; more runs of a kind form further cohorts.
MAX_COHORT = 16


@dataclass(frozen=True)
class Plan:
    """Distinct runs of a grid against a results folder.

    `records` holds what is finished, by run id: done, or diverged (which would diverge again). `teachers` and
    `pre_stages` are the runs that the pending ones rest on and that are not done; `all_teachers` also those that are.
    `stale` tells why, by run id, of what is finished or begun; `damaged` holds records that cannot be used.
    """

    runs: list[Run]
    records: dict[str, Record]
    all_teachers: list[Run]
    stale: dict[str, str] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)

    @property
    def pending(self) -> list[Run]:
        """Runs that are still to be trained."""
        return [run for run in self.runs if run.id not in self.records]

    @property
    def teachers(self) -> list[Run]:
        """Teachers that the pending runs need and that are not trained yet."""
        needed = distinct(run.teacher.trained_by for run in self.pending if run.teacher and run.teacher.trained_by)
        return [run for run in needed if run.id not in self.records]

    @property
    def all_pre_stages(self) -> list[Run]:
        """Pre-stages that the runs rest on."""
        return distinct(run.pre_stage for run in self.runs if run.pre_stage)

    @property
    def pre_stages(self) -> list[Run]:
        """Pre-stages that the pending runs need and that are not trained yet."""
        needed = distinct(run.pre_stage for run in self.pending if run.pre_stage)
        return [run for run in needed if run.id not in self.records]

    @property
    def to_train(self) -> list[Run]:
        """All that is to be trained, what others rest on first."""
        return [*self.teachers, *self.pre_stages, *self.pending]


def make_plan(runs: Iterable[Run], store: Store, present: Present) -> Plan:
    """The plan for `runs`; failed runs count as not done, since what made them fail may be mended."""
    wanted = distinct(runs)
    teachers = distinct(run.teacher.trained_by for run in wanted if run.teacher and run.teacher.trained_by)
    plan = Plan(wanted, {}, teachers)
    for run in [*teachers, *plan.all_pre_stages, *wanted]:
        try:
            record = store.record(run.id)
        except Damaged as damage:
            plan.damaged.append(damage)
            continue
        if record and record.status != "failed":
            plan.records[run.id] = record
            basis = record.basis
        else:
            begun = _progress(run, store).basis
            if begun is None:
                continue
            basis = begun
        why = present.why_stale(run, basis, plan.records)
        if why:
            plan.stale[run.id] = why
    return plan


def cohorts(runs: Iterable[Run], store: Store) -> list[list[Run]]:
    """Runs grouped by data set, teacher, recipe (but for the learning rate), seed, and how far they have come."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        recipe = run.recipe.model_copy(update={"lr": 0.0}).model_dump_json()
        position = _progress(run, store).position
        teacher = run.teacher.key if run.teacher else None
        groups.setdefault((run.role, run.dataset, teacher, recipe, run.seed, position), []).append(run)
    return [
        group[start : start + MAX_COHORT] for group in groups.values() for start in range(0, len(group), MAX_COHORT)
    ]


def _progress(run: Run, store: Store) -> Progress:
    """How far a run has come. Most have no checkpoint, and to read one takes PyTorch."""
    path = store.checkpoint_path(run.id)
    # What may not be looked for is said by who reads it.
    with contextlib.suppress(PermissionError):
        if not any(version.exists() for version in checkpoint_versions(path)):
            return Progress(run_id=run.id)
    from kdbench.training.checkpoint import read_progress

    return read_progress(path, run.id)
