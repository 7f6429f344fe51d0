"""What a plan costs before it is run: operations, and the time they take at this machine's own rate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from kdbench.data.augment import side_of
from kdbench.data.dataset import DatasetInfo
from kdbench.execution.plan import cohorts
from kdbench.execution.threads import threads_for
from kdbench.model import StagedModel, place
from kdbench.recipe import Recipe
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.store import Store
from kdbench.training.evaluation import forward
from kdbench.training.flops import ForwardFlops, forward_flops
from kdbench.training.lanes import CudaLanes, Work
from kdbench.training.numerics import numerics
from kdbench.training.step import WARM_UPS

#: A training step's forward and backward pass, in forward passes.
TRAINING_PASSES = 3
#: Of a forward pass that keeps every core of a CPU busy.
BUSY_FLOPS = 40_000_000_000
#: Steps between two looks at the clock; each waits for the device.
RATE_STEPS = {"cpu": 1, "cuda": 20}


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
        self._registry = registry
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
            tested = self._test_images(run)
            students += self._forward(run.student, run.recipe) * (passes * images + tested)
            if run.teacher:
                cost = self._forward(run.teacher.architecture, run.recipe) * images
                alone += cost
                recipe = run.recipe.model_copy(update={"lr": 0.0}).model_dump_json()
                teacher_passes[run.teacher.key, recipe, run.seed] = cost
        return Estimate(students + sum(teacher_passes.values()), students + alone)

    def rate(self, runs: Iterable[Run], device: torch.device, recipe: Recipe) -> float:
        """Operations a second on all cores: of the networks of `runs` that take most, down to half of all operations,
        each measured on as many threads as it trains on. The others are taken to be like them.
        """
        shares: Counter[str] = Counter()
        threads: dict[str, int] = {}
        for run in runs:
            shares[run.student] += self._forward(run.student, run.recipe) * self._training_images(run)
            threads[run.student] = threads_for(run, device, self._forward)
        counted, seconds = 0, 0.0
        for name, share in shares.most_common():
            seconds += share / self._rate_of(name, threads[name], device, recipe)
            counted += share
            if 2 * counted >= shares.total():
                break
        return counted / seconds

    def _rate_of(self, name: str, threads: int, device: torch.device, recipe: Recipe) -> float:
        network = self._registry.architecture(name).build(self._info.num_classes)
        cores = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return measured_rate(device, recipe, network, self._info) * (cores // threads)
        finally:
            torch.set_num_threads(cores)

    def images(self, run: Run) -> int:
        """Images that its cohort reads to train and to evaluate a run, whoever else is in the cohort."""
        return self._training_images(run) + self._test_images(run)

    def _test_images(self, run: Run) -> int:
        return 0 if run.role == "pre_stage" else self._info.test_size * run.recipe.epochs

    def _training_images(self, run: Run) -> int:
        batch, cap = run.recipe.batch_size, run.recipe.max_steps
        size = self._info.train_size
        return run.recipe.epochs * (min(size, cap * batch) if cap else size)


def work_by_epoch(runs: Sequence[Run], store: Store, registry: Registry, info: DatasetInfo) -> dict[str, float]:
    """Operations of each run's epoch, by run id: the passes of a cohort's teacher are shared out among its members."""
    estimator, work = Estimator(registry, info), {}
    for cohort in cohorts(runs, store):
        alone = [estimator.estimate([run]) for run in cohort]
        shared = sum(one.shared for one in alone) - estimator.estimate(cohort).shared
        for run, one in zip(cohort, alone, strict=True):
            work[run.id] = (one.shared - shared / len(cohort)) / run.recipe.epochs
    return work


def measured_rate(
    device: torch.device, recipe: Recipe, network: StagedModel, info: DatasetInfo, seconds: float = 0.2
) -> float:
    """Operations a second of training steps of `network` on noise: forward, backward, update, at the recipe's size.

    On CUDA the step is captured and replayed, as in training. On a CPU it has as many images as keep it busy, not more.
    """
    side = side_of(info, recipe.augmentation)
    flops, size = forward_flops(network, side), recipe.part_size
    if device.type == "cpu":
        size = min(size, max(2, BUSY_FLOPS // flops))
    operations = TRAINING_PASSES * flops * size
    network = place(network, device).train()
    # Without a loss that means anything, steps of some length would diverge.
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=recipe.momentum, fused=True)
    images = torch.randn(size, 3, side, side, device=device)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimizer.zero_grad()
        forward(network, images, recipe.autocast).float().logsumexp(1).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    with numerics(recipe.precision):
        once: Work = step
        if device.type == "cuda":
            lanes = CudaLanes(device, 1)
            for _ in range(WARM_UPS):
                lanes.warm_up(step)
            once = lanes.capture(step, [])
        once()
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for _ in range(RATE_STEPS[device.type]):
                once()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            count += RATE_STEPS[device.type]
        return operations * count / (time.perf_counter() - began)
