"""A plan in words: what there is to train, with which settings, and what it costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kdbench.cells import distinct, title
from kdbench.cli.reading import describe_stale
from kdbench.cli.recipes import recipe_in_words
from kdbench.cli.session import Session
from kdbench.cli.terminal import tell
from kdbench.data.told import sizes
from kdbench.environment.device import slow_in_bf16
from kdbench.execution import costs
from kdbench.execution.plan import Plan, cohorts
from kdbench.inputs.places import asking
from kdbench.inputs.wording import counted, duration, listed, memory_size
from kdbench.recipe import Recipe
from kdbench.run import Run

if TYPE_CHECKING:
    import torch

    from kdbench.cli.executors import Where


def situation(plan: Plan) -> str:
    """How many runs are finished, and how many are to be trained."""
    total, left = len(plan.runs), len(plan.pending)
    if not left:
        return f"Nothing to train: {'the run is' if total == 1 else f'all {total:,} runs are'} finished."
    done = f"{total - left:,} finished, " if left < total else ""
    return f"{counted(total, 'run')}: {done}{left:,} to train{_teachers(len(plan.all_teachers), len(plan.teachers))}."


def _teachers(total: int, lacking: int) -> str:
    if not total:
        return ""
    if not lacking:
        return f"; {counted(total, 'teacher')}, trained already"
    return f"; {counted(total, 'teacher')}, {lacking} to train first"


def resolved(session: Session, plan: Plan, where: Where) -> list[str]:
    """The settings that training will use, learning rates looked up, and the memory that methods ask for."""
    rates: dict[str, list[str]] = {}
    for run in [*plan.teachers, *plan.pending]:
        rates.setdefault(f"{run.recipe.lr:g}", []).append(run.student)
    lines = [f"{whose}: {recipe_in_words(recipe)}" for whose, recipe in _recipes(session, plan).items()]
    lines += warnings(session, plan, where)
    lines += [f"learning rate {rate}: {', '.join(dict.fromkeys(names))}" for rate, names in rates.items()]
    memory = {_memory(session, run) for run in plan.pending} - {None}
    return lines + sorted(line for line in memory if line)


def warnings(session: Session, plan: Plan, where: Where) -> list[str]:
    """What is allowed in the settings but hardly meant."""
    registry = session.registry
    pairs = [pair for table in session.expansion.grid.tables for pair in table.pairs]
    of_grid = {name for pair in pairs for name in (pair.teacher, pair.student)}
    families = {registry.family(name) for name in (*registry.usable("architecture"), *of_grid)}
    found = [
        warning
        for whose, recipe in _recipes(session, plan).items()
        for warning in (
            milestone_warning(recipe, whose),
            family_warning(recipe, families, whose),
            None if where.cluster else precision_warning(recipe, where.device, whose),
        )
    ]
    return [warning for warning in found if warning]


def milestone_warning(recipe: Recipe, whose: str = "recipe") -> str | None:
    """A sentence about milestones that training does not get past; None if there are none."""
    if not recipe.unreached:
        return None
    return (
        f"warning: {whose}: training ends with epoch {recipe.epochs}, before the learning rate drops (after "
        f"{listed(recipe.unreached)}); name a whole recipe with --recipe or set recipe.milestones."
    )


def family_warning(recipe: Recipe, families: set[str], whose: str) -> str | None:
    """A sentence about learning rates that no known network takes; None if there are none.

    No error: a recipe may serve several places, and name families of plugins that are not loaded here.
    """
    strange = [family for family in recipe.lr_by_family if family not in families]
    if not strange:
        return None
    return (
        f"warning: {whose}: lr_by_family names {', '.join(map(repr, strange))}, which no network belongs to; "
        f"families: {', '.join(sorted(families))}."
    )


def precision_warning(recipe: Recipe, device: torch.device, whose: str = "recipe") -> str | None:
    """A sentence about a precision that the device is slow in; None if it is not."""
    if recipe.precision != "bf16" or not slow_in_bf16(device):
        return None
    return (
        f"warning: {whose}: this CPU has no instructions for bf16, in which a step takes ten times as long as in "
        "float32 or more; give --precision fp32, which makes other runs."
    )


def _recipes(session: Session, plan: Plan) -> dict[str, Recipe]:
    """The students' recipe, and the teachers' if there are teachers to train with another."""
    grid = session.expansion.grid
    differs = plan.all_teachers and grid.teacher_recipe != grid.recipe
    return {"recipe": grid.recipe} | ({"teachers' recipe": grid.teacher_recipe} if differs else {})


def _memory(session: Session, run: Run) -> str | None:
    method = session.registry.method(run.method)
    with asking(method, "memory_bytes"):
        size = method.memory_bytes(method.Params(**run.params), session.expansion.info.train_size)
    return f"{run.method} keeps {size / 1e6:.1f} MB on the device for each run" if size else None


def print_plan(session: Session, plan: Plan, where: Where, as_json: bool) -> None:
    """Print every run with its state, the settings, and the operations, time and memory that training takes."""
    from kdbench.execution.estimate import Estimator
    from kdbench.execution.footprint import Footprint

    estimator = Estimator(session.registry, session.expansion.info)
    pending = plan.to_train
    cost = estimator.estimate(pending)
    recipe = session.expansion.grid.recipe
    rate = estimator.rate(pending, where.measured_on, recipe) * max(1, len(where.gpus)) if cost.shared else 1.0
    seconds = cost.shared / rate
    if cost.shared:
        whole = estimator.estimate(distinct([*plan.all_teachers, *plan.all_pre_stages, *plan.runs]))
        costs.remember(session.expansion.grid, whole.shared / rate, where.measured_described)
    # Of images in files, which a cohort reads once for its members.
    read = sum(estimator.images(group[0]) for group in cohorts(pending, session.store))
    streamed = session.expansion.info.input_size is None and seconds > 0
    footprint = Footprint(session.registry, session.expansion.info)
    memory = max((footprint.cohort(group) for group in cohorts(plan.pending, session.store)), default=0)
    if as_json:
        described = {
            "grid": session.expansion.grid.name,
            "dataset": session.expansion.info.name,
            "data_sha256": session.expansion.info.checksum,
            "runs": [_described(run, plan) for run in plan.runs],
            "teachers": [_described(run, plan) for run in plan.all_teachers],
            "done": [run.id for run in plan.runs if run.id in plan.records],
            "stale": plan.stale,
            "flops": cost.shared,
            "flops_without_sharing": cost.alone,
            "seconds": round(seconds, 1),
            "memory_bytes": memory,
            "images_per_second": read / seconds if streamed else None,
            "device": where.described,
            "warnings": warnings(session, plan, where),
        }
        tell(json.dumps(described, indent=1))
        return
    for run in plan.runs:
        tell(f"{run.id}  {_state(run, plan):9}  {title(run, session.registry)}")
    for run in plan.all_teachers:
        tell(f"{run.id}  {_state(run, plan):9}  {run.title}")
    for cell in session.expansion.cells:
        if cell.declined:
            tell(f"{'':16}  n/a        {cell.row.key} {cell.pair}: {cell.declined}")
    if plan.stale:
        tell(describe_stale(plan.stale))
    for line in (sizes(session.expansion.info), *resolved(session, plan, where)):
        tell(line)
    tell(situation(plan))
    tell(
        f"{cost.shared:.3g} FLOPs ({cost.alone:.3g} unshared; methods' own modules not counted), "
        f"about {duration(round(seconds))} at this machine's measured rate ({where.measured_described})"
    )
    if streamed:
        tell(f"{read / seconds:,.0f} images a second have to be read and decoded for that (`kdbench bench loader`)")
    for line in where.cluster:
        tell(line)
    if memory:
        tell(f"about {memory_size(memory)} for the largest cohort (methods' own modules not counted)")


def _state(run: Run, plan: Plan) -> str:
    return plan.records[run.id].status if run.id in plan.records else "to train"


def _described(run: Run, plan: Plan) -> dict[str, object]:
    return {
        "id": run.id,
        "teacher": run.teacher.architecture if run.teacher else None,
        "student": run.student,
        "method": run.method,
        "params": run.params,
        "recipe": run.recipe.model_dump(mode="json"),
        "seed": run.seed,
        "done": run.id in plan.records,
    }
