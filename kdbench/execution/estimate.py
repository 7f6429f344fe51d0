"""What a plan costs before it is run: operations, and the time they take at this machine's own rate."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from kdbench.data.dataset import DatasetInfo
from kdbench.flops import ForwardFlops
from kdbench.model import place
from kdbench.plugins import Registry
from kdbench.recipe import Recipe
from kdbench.run import Run
from kdbench.training.numerics import numerics

#: A training step's forward and backward pass, in forward passes.
TRAINING_PASSES = 3
#: Steps between two waits for the device.
RATE_STEPS = 8


@dataclass(frozen=True)
class Estimate:
    """Operations of the pending runs' networks; `shared` makes a cohort's teacher pass once, `alone` once a run.

    The methods' own modules are not counted.
    """

    shared: int
    alone: int


class Estimator:
    """Counts operations of runs on one data set."""

    def __init__(self, registry: Registry, info: DatasetInfo):
        self._info = info
        self._forward = ForwardFlops(registry, info)

    def estimate(self, runs: Iterable[Run]) -> Estimate:
        """The cost of training and evaluating `runs`, teachers and pre-stages among them."""
        students = 0
        teacher_passes: dict[object, int] = {}
        alone = 0
        for run in runs:
            images = self._training_images(run)
            frozen = run.role == "pre_stage"
            passes = 1 if frozen else TRAINING_PASSES
            tested = 0 if frozen else self._info.test_size * run.recipe.epochs
            students += self._forward(run.student) * (passes * images + tested)
            if run.teacher:
                cost = self._forward(run.teacher.architecture) * images
                alone += cost
                recipe = run.recipe.model_copy(update={"lr": 0.0}).model_dump_json()
                teacher_passes[run.teacher.key, recipe, run.seed] = cost
        return Estimate(students + sum(teacher_passes.values()), students + alone)

    def _training_images(self, run: Run) -> int:
        batch, cap = run.recipe.batch_size, run.recipe.max_steps
        size = self._info.train_size
        return run.recipe.epochs * (min(size, cap * batch) if cap else size)


def measured_rate(device: torch.device, recipe: Recipe, seconds: float = 0.5) -> float:
    """Operations a second of a 3×3 convolution's forward and backward pass at the size of the networks' layers."""
    conv = place(nn.Conv2d(64, 64, 3, padding=1, bias=False), device).to(recipe.autocast)
    images = torch.randn(64, 64, 16, 16, device=device, dtype=recipe.autocast)
    images = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    operations = RATE_STEPS * TRAINING_PASSES * 2 * 64 * 16 * 16 * 64 * 64 * 9

    def steps() -> None:
        for _ in range(RATE_STEPS):
            conv(images).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with numerics(recipe.precision):
        steps()
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            steps()
            count += 1
        return operations * count / (time.perf_counter() - began)
