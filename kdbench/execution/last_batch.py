"""An epoch's last batch that runs can make no step with: told before training, not by the run that it breaks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import torch

from kdbench.data.augment import side_of
from kdbench.data.seeds import seeded
from kdbench.data.streamed import AnyDataset
from kdbench.inputs.errors import UserError
from kdbench.inputs.places import asking
from kdbench.method import Batch, Method
from kdbench.recipe import Recipe
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.training.member import FrozenTeacher, Member, method_of, teacher_outputs

CPU = torch.device("cpu")
#: How many runs a sentence names.
NAMED = 3


def check_last_batch(runs: Iterable[Run], registry: Registry, dataset: AnyDataset) -> None:
    """Raise `UserError` if some of `runs` can make no step with an epoch's last batch.

    It is of one image, or the only batch, and short where their methods want full ones.

    Batch norm takes its statistics over a batch's pixels, and of one image's map of 1×1 there are none. No image is
    left out for that, since other runs train on all of them. New networks try it, where there is such a batch.
    """
    runs, images = list(runs), len(dataset.train.labels)
    if none_full := _first_of_each(
        run for run in runs if run.recipe.batch_size > images and _wants_full(run, registry)
    ):
        size = next(iter(none_full.values())).recipe.batch_size
        raise UserError(
            f"{images:,} training images fill no batch of {size}, and {_named(none_full)} can make no step with fewer; "
            f"give a recipe.batch_size of at most {images}, or leave that out."
        )
    able: dict[str, bool] = {}
    for run in runs:
        if leaves_one(images, run.recipe) and (kind := _kind(run)) not in able:
            able[kind] = _can(run, registry, dataset)
    if unable := _first_of_each(run for run in runs if not able.get(_kind(run), True)):
        size = next(iter(unable.values())).recipe.batch_size
        raise UserError(
            f"{images:,} training images in batches of {size} leave a single one for an epoch's last batch, and "
            f"{_named(unable)} can make no step with that; give another recipe.batch_size{_such_as(images, size)}, or "
            "leave that out."
        )


def _kind(run: Run) -> str:
    """What a trial of a run depends on: not its seed, nor how its teacher was made."""
    made = run.model_dump_json(exclude={"seed", "teacher", "pre_stage"})
    return f"{made} {run.teacher.architecture if run.teacher else ''}"


def _first_of_each(runs: Iterable[Run]) -> dict[str, Run]:
    """A run for each name that a sentence calls runs by."""
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(f"{run.method} on {run.student}" if run.role == "student" else run.title, run)
    return first


def _named(names: Collection[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(list(names)[:NAMED]) + more


def _wants_full(run: Run, registry: Registry) -> bool:
    method, params = method_of(run, registry)
    with asking(method, "needs_for"):
        return method.needs_for(params).full_batches


def leaves_one(images: int, recipe: Recipe) -> bool:
    """Whether an epoch comes to a last batch of one image."""
    steps = math.ceil(images / recipe.batch_size)
    return images % recipe.batch_size == 1 and (recipe.max_steps is None or recipe.max_steps >= steps)


def _such_as(images: int, size: int) -> str:
    others = (other for other in range(2, 2 * size + 2) if images % other != 1)
    nearest = min(others, key=lambda other: abs(other - size), default=None)
    return f", such as {nearest}" if nearest else ""


def _can(run: Run, registry: Registry, dataset: AnyDataset) -> bool:
    """Whether a step with one image goes well, or does not with two either: then it is no matter of the batch."""
    with seeded("last batch"):
        return _steps(run, registry, dataset, 1) or not _steps(run, registry, dataset, 2)


def _steps(run: Run, registry: Registry, dataset: AnyDataset, images: int) -> bool:
    side = side_of(dataset.info, run.recipe.augmentation)
    inputs, index = torch.randn(images, 3, side, side), torch.arange(images)
    batch = Batch(dataset.train.labels[:images].clone(), index=index, epoch=torch.ones(()))
    try:
        teacher = _untrained(run, registry, dataset)
        pre_stage = _pre_stage(run.pre_stage, registry, dataset, teacher) if run.pre_stage else None
        member = Member(run, registry, dataset, teacher, pre_stage, CPU)
        targets = teacher_outputs(teacher, inputs, run.recipe.autocast, member.needs.teacher) if teacher else None
        member.step(inputs, targets, batch, 1, 0)
        return member.fault() is None
    except Exception:
        return False


def _untrained(run: Run, registry: Registry, dataset: AnyDataset) -> FrozenTeacher | None:
    if run.teacher is None:
        return None
    architecture, info = registry.architecture(run.teacher.architecture), dataset.info
    network = architecture.build(info.num_classes).eval().requires_grad_(False)
    side = side_of(info, run.recipe.augmentation)
    return FrozenTeacher(network, architecture.shapes(info.num_classes, side), "", None)


def _pre_stage(run: Run, registry: Registry, dataset: AnyDataset, teacher: FrozenTeacher | None) -> Method:
    return Member(run, registry, dataset, teacher, None, CPU).method.eval().requires_grad_(False)
