"""What the training benchmark compares: the loop that the field runs, and this project's engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from kdbench.data.batches import Batches
from kdbench.data.dataset import Dataset
from kdbench.method import Batch
from kdbench.model import Outputs, place
from kdbench.recipe import Recipe
from kdbench.registry import Registry
from kdbench.run import Run, Teacher
from kdbench.training.concurrency import make_step
from kdbench.training.member import FrozenTeacher, Member, teacher_outputs
from kdbench.training.numerics import numerics
from kdbench.training.step import Lockstep, Step

#: The peers' loader has 8 workers; on a CPU they would take the cores that train.
LOADER_WORKERS = {"cpu": 0, "cuda": 8}


@dataclass(frozen=True)
class Setting:
    """A pair on a data set with one recipe on one device; networks are freshly initialised, which changes no time."""

    registry: Registry
    dataset: Dataset
    teacher: str
    student: str
    recipe: Recipe
    device: torch.device

    def frozen_teacher(self, layout: torch.memory_format) -> FrozenTeacher:
        """The teacher in a memory layout."""
        architecture = self.registry.architecture(self.teacher)
        info = self.dataset.info
        network = architecture.build(info.num_classes).eval().requires_grad_(False)
        network = place(network, self.device).to(memory_format=layout)
        return FrozenTeacher(network, architecture.shapes(info.num_classes, info.side), "", None)

    def member(self, method: str, seed: int, teacher: FrozenTeacher, precision: str) -> Member:
        """A run of `method`, as the engine trains it."""
        needs = self.registry.method(method).needs_for(self.registry.method(method).Params()).teacher
        recipe = self.recipe.resolved(self.registry.architecture(self.student).family)
        run = Run(
            dataset=self.dataset.info.name,
            teacher=Teacher(architecture=self.teacher, imported="untrained") if needs else None,
            student=self.student,
            method=method,
            params={},
            recipe=recipe.model_copy(update={"precision": precision}),
            seed=seed,
        )
        return Member(run, self.registry, self.dataset, teacher if needs else None, None, self.device)


class PlainLoop:
    """One run as the peers train it: PIL images through torchvision in a DataLoader, eager, NCHW, float32, the loss
    read after every step, and its own pass of the teacher if the method has one.
    """

    def __init__(self, setting: Setting, method: str, teacher: FrozenTeacher):
        self._member = setting.member(method, 0, teacher, "fp32")
        for module in (self._member.network, self._member.method):
            module.to(memory_format=torch.contiguous_format)
        self._teacher = teacher if self._member.needs.teacher else None
        self._device = setting.device
        self._batches = _forever(_loader(setting))
        recipe = self._member.run.recipe
        self._optimizer = torch.optim.SGD(
            self._member.parameters, recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )

    def __call__(self) -> None:
        """One step."""
        # PyTorch's default would let a GPU's convolutions round to TF32.
        with numerics("fp32"):
            self._train()

    def _train(self) -> None:
        member = self._member
        images, labels, index = (part.to(self._device, non_blocking=True) for part in next(self._batches))
        drawn = {} if member.generator is None else {"generator": member.generator}
        batch = Batch(labels, index=index, epoch=torch.ones((), device=self._device), **drawn)
        targets = Outputs()
        if self._teacher:
            targets = teacher_outputs(self._teacher, images, torch.float32, member.needs.teacher)
        member.reseed(1, 0)
        terms = member.method.terms(
            member.outputs(images),
            targets,
            batch.only(member.needs.batch),
        )
        total = torch.stack([weight * terms[name] for name, weight in member.weights.items()]).sum()
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        total.item()


class Engine:
    """Members in lockstep, one cohort a seed, by the step that training uses; K = 1 is the good plain loop."""

    def __init__(
        self, setting: Setting, runs: Sequence[tuple[str, int]], teacher: FrozenTeacher, precision: str, lanes: int
    ):
        self._recipe = setting.recipe.model_copy(update={"precision": precision})
        self._step = 0
        self._steps: list[Step] = []
        self.members: list[Member] = []
        self._batches: list[Batches] = []
        for seed in sorted({seed for _, seed in runs}):
            members = [setting.member(method, seed, teacher, precision) for method, own in runs if own == seed]
            batches = Batches(
                setting.dataset,
                augmentation=setting.recipe.augmentation,
                batch_size=setting.recipe.batch_size,
                seed=seed,
                device=setting.device,
            )
            batches.epoch(1)
            work = Lockstep.of(members, teacher, batches)
            self._steps.append(make_step(work, setting.device, lanes))
            self.members += members
            self._batches.append(batches)

    def __call__(self) -> None:
        """One step of every member. Raises what a member raised."""
        with numerics(self._recipe.precision):
            for step in self._steps:
                for _, error in step(1, self._step):
                    raise error
        # The last batch may be short, and is left out.
        self._step = (self._step + 1) % max(self._batches[0].steps - 1, 1)


class _Pictures(TorchDataset[tuple[Tensor, int, int]]):
    """Images as the peers' data sets give them: decoded to PIL, transformed, with label and index."""

    def __init__(self, setting: Setting):
        from torchvision import transforms  # takes seconds to import, which no other command should pay

        data, augmentation = setting.dataset, setting.recipe.augmentation
        self._images, self._labels = data.train.images.numpy(), data.train.labels.tolist()
        self._transform: Callable[[Image.Image], Tensor] = transforms.Compose(
            [
                transforms.RandomCrop(data.info.side, padding=augmentation.crop_padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index], index


def _loader(setting: Setting) -> DataLoader[tuple[Tensor, int, int]]:
    workers = LOADER_WORKERS[setting.device.type]
    return DataLoader(
        _Pictures(setting),
        batch_size=setting.recipe.batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=setting.device.type == "cuda",
        persistent_workers=workers > 0,
        drop_last=True,
    )


def _forever(loader: DataLoader[tuple[Tensor, int, int]]) -> Iterator[list[Tensor]]:
    while True:
        yield from loader
