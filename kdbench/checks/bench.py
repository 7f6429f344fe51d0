"""The small world that methods are judged in: a data set, teachers, and runs, as the harness has them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from kdbench.data.augment import Augmentation
from kdbench.data.batches import Batches
from kdbench.data.dataset import Dataset, make_dataset
from kdbench.data.seeds import seeded
from kdbench.data.split import Split
from kdbench.declared import method_params
from kdbench.grid import Pair
from kdbench.method import Batch, Method
from kdbench.model import Shapes, place
from kdbench.recipe import Precision, Recipe
from kdbench.registry import Registry
from kdbench.run import Run, Teacher
from kdbench.training.member import FrozenTeacher
from kdbench.trial import Side

CPU = torch.device("cpu")
NAME = "conformance"
#: Images of 8×8 pixels are the smallest that every network of the paper halves down to a map of at least 1×1, and stage
#: maps then still differ in size within a network and between networks.
SIZE = 8
NUM_CLASSES = 5
BATCH = 8
#: Two batches an epoch, the second a short one.
TRAIN_SIZE = BATCH + 5
STEPS = 2
#: No weight decay, so that a weight moves only where the loss reaches it; a rate at which no loss diverges.
RECIPE = Recipe(epochs=2, batch_size=BATCH, lr=1e-5, weight_decay=0, augmentation=Augmentation(crop_padding=1))


@dataclass
class Bench:
    """Data, teachers and runs of one registry on one device. Everything follows from fixed seeds."""

    registry: Registry
    device: torch.device = CPU

    def __post_init__(self) -> None:
        self.dataset = _dataset()
        self._teachers: dict[str, FrozenTeacher] = {}
        self._shapes: dict[str, Shapes] = {}

    def shapes(self, architecture: str) -> Shapes:
        """Feature sizes of a network."""
        if architecture not in self._shapes:
            self._shapes[architecture] = self.registry.architecture(architecture).shapes(NUM_CLASSES, SIZE)
        return self._shapes[architecture]

    def side(self, architecture: str) -> Side:
        """A network of a pair."""
        return Side(self.registry.architecture(architecture), self.shapes(architecture), SIZE)

    def teacher(self, architecture: str) -> FrozenTeacher:
        """The teacher that all methods are given a copy of: untrained, its norms fitted to the data."""
        if architecture not in self._teachers:
            with seeded("teacher", architecture):
                network = self.registry.architecture(architecture).build(NUM_CLASSES)
            place(network, self.device)
            # Features of a network whose running statistics are not those of its input vanish or explode with depth.
            update_bn([self.batch(1, step)[0] for step in range(STEPS)], network)
            network.eval().requires_grad_(False)
            self._teachers[architecture] = FrozenTeacher(network, self.shapes(architecture), NAME, None)
        return self._teachers[architecture]

    def teacher_copy(self, architecture: str) -> FrozenTeacher:
        """A teacher of one's own, so that a method that changes it harms no other."""
        teacher = self.teacher(architecture)
        return FrozenTeacher(copy.deepcopy(teacher.network), teacher.shapes, NAME, None)

    def batch(self, epoch: int, step: int, most: int = BATCH) -> tuple[Tensor, Batch]:
        """Images and batch of a step, of `most` images at most."""
        how = RECIPE.augmentation
        batches = Batches(self.dataset, augmentation=how, batch_size=BATCH, seed=0, device=self.device)
        batches.epoch(epoch)
        images, labels, index = batches.gather(tuple(part[:, :most] for part in batches.drawn(step)))
        return images, Batch(labels, index=index, epoch=torch.full((), float(epoch), device=self.device))

    def run(self, method: type[Method], pair: Pair, precision: Precision = "fp32") -> Run:
        """The run of a method with its default parameters."""
        params = method_params(method, {})
        return Run(
            dataset=NAME,
            teacher=_teacher_of(pair) if method.needs_for(params).teacher else None,
            student=pair.student,
            method=method.name,
            params=params.of_run(),
            recipe=RECIPE.model_copy(update={"precision": precision}),
            seed=0,
        )

    def pre_stage_run(self, method: type[Method], pair: Pair, precision: Precision = "fp32") -> Run:
        """The run of what a method declares as its pre-stage."""
        declared = method.pre_stage(method_params(method, {}))
        assert declared is not None
        return Run(
            role="pre_stage",
            dataset=NAME,
            teacher=_teacher_of(pair),
            student=pair.teacher,
            method=method.name,
            params=declared[1].of_run(),
            recipe=RECIPE.model_copy(update={"precision": precision}),
            seed=0,
        )


def _teacher_of(pair: Pair) -> Teacher:
    return Teacher(architecture=pair.teacher, imported=NAME)


def _dataset() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (TRAIN_SIZE, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(TRAIN_SIZE) % NUM_CLASSES)
    return make_dataset(NAME, tuple(str(number) for number in range(NUM_CLASSES)), split, split)
