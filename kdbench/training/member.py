"""One run being trained: its network, its method's modules, its optimizer."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kdbench.data.augment import side_of
from kdbench.data.seeds import seeded, stream
from kdbench.data.streamed import AnyDataset
from kdbench.declared import NEEDS_INDICES, method_params
from kdbench.inputs.places import exits_refused
from kdbench.method import Batch, Build, Method, MethodParams, Needs
from kdbench.model import FEATURES, Feature, Outputs, Shapes, StagedModel, place
from kdbench.registry import Registry
from kdbench.run import Role, Run
from kdbench.supervised import Supervised
from kdbench.training.average import Average
from kdbench.training.numerics import autocast
from kdbench.training.optimizer import make_optimizer
from kdbench.training.random_layers import RandomLayers


@dataclass(frozen=True)
class FrozenTeacher:
    """A trained teacher as members use it: in eval mode, without gradients, on the device."""

    network: StagedModel
    shapes: Shapes
    sha256: str
    top1: float | None

    def freeze(self) -> None:
        """Undo what a method that was given the network may have made of it."""
        self.network.eval().requires_grad_(False)


@dataclass(frozen=True)
class Part:
    """What passes through a network at once, a batch or one of the parts that a recipe computes it in: normalised
    images [B, 3, H, W], the teacher's features of them, labels and what else there is of the batch.
    """

    images: Tensor
    teacher: Outputs | None
    batch: Batch


def method_of(run: Run, registry: Registry) -> tuple[type[Method], MethodParams]:
    """The method class of a run and its parameters."""
    if run.role == "pre_stage":
        assert run.teacher is not None
        if run.pre_stage is not None:
            raise ValueError("a pre-stage has no pre-stage")
    method = method_class(run.role, run.method, registry)
    return method, method_params(method, run.params)


def method_class(role: Role, name: str, registry: Registry) -> type[Method]:
    """The class that trains in a run of that role and method; teachers are trained on labels alone."""
    if role == "teacher":
        return Supervised
    method = registry.method(name)
    if role == "student":
        return method
    declared = method.pre_stage(method.Params())
    if declared is None:
        raise ValueError(f"method '{name}' declares no pre-stage")
    return declared[0]


class Member:
    """A run's trainable state and its step.

    In a pre-stage the network is the teacher itself, frozen, and only the method's modules train.
    """

    @exits_refused()
    def __init__(
        self,
        run: Run,
        registry: Registry,
        dataset: AnyDataset,
        teacher: FrozenTeacher | None,
        pre_stage: Method | None,
        device: torch.device,
    ):
        if teacher:
            teacher.freeze()
        self.run = run
        self.method_class, params = method_of(run, registry)
        architecture = registry.architecture(run.student)
        shapes = architecture.shapes(dataset.info.num_classes, side_of(dataset.info, run.recipe.augmentation))
        self.frozen = run.role == "pre_stage"
        if self.frozen:
            assert teacher is not None
            network = copy.deepcopy(teacher.network)
        else:
            with seeded("network", run.role, architecture.name, run.seed):
                network = architecture.build(dataset.info.num_classes)
        build = Build(
            network,
            shapes,
            dataset.train.labels.clone(),
            run.recipe.part_size,
            teacher.network if teacher else None,
            teacher.shapes if teacher else None,
            pre_stage,
            epochs=run.recipe.epochs,
        )
        with seeded("modules", self.method_class.name, run.seed):
            method = self.method_class(params, build)
        self.network = place(network, device)
        self.method = place(method, device)
        self.method.precision = run.recipe.autocast
        self.network.train(not self.frozen)
        self.method.train()
        self.deployed: nn.Module = self.method.deploy(self.network)
        self.needs: Needs = self.method_class.needs_for(params)
        if self.needs.full_batches and (images := len(build.train_labels)) < run.recipe.batch_size:
            raise ValueError(
                f"the method makes no step with a short batch, and {images} training images fill none of "
                f"{run.recipe.batch_size}"
            )
        if run.recipe.soft_labels and self.needs.class_indices:
            raise ValueError(NEEDS_INDICES)
        self.num_classes = dataset.info.num_classes
        self.weights = self.method_class.weights(params)
        self.generator = torch.Generator(device) if "generator" in self.needs.batch else None
        self.random_layers = RandomLayers(device) if shapes.draws else None
        named = [(name, p) for module in (self.network, self.method) for name, p in module.named_parameters()]
        trained = [(name, p) for name, p in named if p.requires_grad]
        self.parameters = [parameter for _, parameter in trained]
        self._lr = torch.tensor(run.recipe.lr, dtype=torch.float32, device=device)
        self.optimizer, self.moments = make_optimizer(run.recipe, trained, self._lr)
        decay = run.recipe.ema_decay
        self._average = Average(self.method if self.frozen else self.deployed, decay) if decay else None
        #: Sum over the epoch's samples of each term, in the order of `weights`.
        self.totals = torch.zeros(len(self.weights), dtype=torch.float64, device=device)
        #: The epoch's first batch in which each term was not finite.
        self.first_fault = torch.full_like(self.totals, torch.inf)

    @property
    def kept(self) -> nn.Module:
        """What is evaluated and saved: what the method deploys, a pre-stage's modules, or the average of either."""
        if self._average:
            return self._average.module
        return self.method if self.frozen else self.deployed

    @property
    def averages(self) -> dict[str, Tensor]:
        """The tensors of the weights' average, by name; none where the recipe has no average."""
        return self._average.tensors if self._average else {}

    def begin_epoch(self, epoch: int) -> None:
        """Set the epoch's learning rate."""
        self._lr.fill_(self.run.recipe.lr_at(epoch))

    def step(self, images: Tensor, teacher: Outputs | None, batch: Batch, epoch: int, step: int) -> None:
        """One batch, eagerly."""
        self.reseed(epoch, step)
        self.update([Part(images, teacher, batch)], torch.full_like(self.totals[0], step))

    def reseed(self, epoch: int, step: int) -> None:
        """Put the random numbers of the loss and of the network's layers into the state of a step."""
        if self.random_layers is not None:
            run = self.run
            self.random_layers.reseed(stream("layers", run.role, run.student, run.seed, epoch, step))
        if self.generator is not None:
            self.generator.manual_seed(stream("loss", self.method_class.name, self.run.seed, epoch, step))

    def update(self, parts: Sequence[Part], position: Tensor) -> None:
        """Forward and backward of each part of a batch, and an update for the epoch's batch number `position`, a scalar
        on the device.

        The gradient is the mean of the parts', each by its share of the batch's images: where a loss is a mean over
        samples, that of the whole batch. Never waits for the device and depends on nothing but tensors and the
        generator, so a graph can capture it.
        """
        size = sum(len(part.batch.labels) for part in parts)
        if self.needs.full_batches and size < self.run.recipe.batch_size:
            return
        self.optimizer.zero_grad(set_to_none=True)
        for part in parts:
            total, terms = self.loss(part.images, part.teacher, part.batch)
            count = len(part.batch.labels)
            (total if count == size else total * (count / size)).backward()  # type: ignore[no-untyped-call]
            values = torch.stack([terms[name].detach() for name in self.weights])
            self.totals += values * count
            now = torch.where(values.isfinite(), torch.inf, position.to(self.totals.dtype))
            torch.minimum(self.first_fault, now, out=self.first_fault)
        if self.run.recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.run.recipe.clip_norm)
        self.optimizer.step()
        if self._average:
            self._average.update()

    def loss(self, images: Tensor, teacher: Outputs | None, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Σ weight × term of a batch, and the terms by name."""
        if self.generator is not None:
            batch = Batch(batch.labels, index=batch.index, epoch=batch.epoch, generator=self.generator)
        with self.random_layers.drawing() if self.random_layers else nullcontext():
            terms = self.method.terms(
                self.outputs(images),
                (teacher or Outputs()).only(self.needs.teacher, "teacher"),
                batch.only(self.needs.batch),
            )
        if terms.keys() != self.weights.keys():
            raise ValueError(f"terms gave {sorted(terms)}, but weights names {sorted(self.weights)}")
        weighted = [weight * terms[name] for name, weight in self.weights.items() if weight]
        return functools.reduce(torch.add, weighted, torch.zeros((), device=images.device)), terms

    def snapshot(self) -> list[Tensor]:
        """A copy of all that a step changes, but for the generator, which is seeded before every step."""
        return [tensor.detach().clone() for tensor in self._changing()]

    @torch.no_grad()
    def restore(self, state: list[Tensor]) -> None:
        """Put a snapshot back, in place."""
        for tensor, saved in zip(self._changing(), state, strict=True):
            tensor.copy_(saved)

    def _changing(self) -> list[Tensor]:
        buffers = (*self.network.buffers(), *self.method.buffers())
        moved = (*self.moments.values(), *self.averages.values())
        return [*self.parameters, *buffers, *moved, self.totals, self.first_fault]

    def outputs(self, images: Tensor) -> Outputs:
        """The network's features of normalised images [B, 3, H, W], as the method declares them."""
        wanted = torch.is_grad_enabled() and not self.frozen
        with torch.set_grad_enabled(wanted), autocast(images.device, self.run.recipe.autocast):
            outputs = self.network.outputs(images, self.needs.student)
        return outputs.only(self.needs.student, "student")

    def end_epoch(self, samples: int) -> dict[str, float]:
        """Mean of each term over the epoch's `samples`, as many as the method was given; starts the sums anew."""
        given = samples - samples % self.run.recipe.batch_size if self.needs.full_batches else samples
        means = (self.totals / given).tolist()
        self.totals.zero_()
        return dict(zip(self.weights, means, strict=True))

    def fault(self) -> str | None:
        """Why the run has diverged in this epoch, or None: a term that was not finite, or weights that are not."""
        batches = self.first_fault.tolist()
        first = min(batches)
        if first != float("inf"):
            return f"loss term '{list(self.weights)[batches.index(first)]}' was not finite in batch {int(first)}"
        if not torch.nn.utils.get_total_norm(self.parameters).isfinite():
            return "a weight is not finite"
        return None


def refusal(member: Member, teacher: FrozenTeacher | None) -> str | None:
    """Why a member cannot train in a cohort, or None: its method would train, switch and save what is not its own."""
    networks = {"student": member.network} | ({"teacher": teacher.network} if teacher else {})
    for owner, network in networks.items():
        theirs = set(network.modules())
        for name, module in member.method.named_modules():
            if module in theirs:
                return (
                    f"the method keeps a part of the {owner} as its submodule '{name}'; copy what you need of it "
                    "(`copy.deepcopy`), or take a branch of the student"
                )
    return None


@torch.no_grad()
def teacher_outputs(
    teacher: FrozenTeacher, images: Tensor, dtype: torch.dtype, features: tuple[Feature, ...] = FEATURES
) -> Outputs:
    """The teacher's `features` of a batch, shared by all members of a cohort."""
    with autocast(images.device, dtype):
        outputs = teacher.network.outputs(images, features)
    return outputs.only(features, "teacher")
