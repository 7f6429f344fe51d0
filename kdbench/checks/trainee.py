"""One training of a method, stepped as a cohort steps it and looked at from outside."""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from kdbench.checks.bench import BATCH, Bench
from kdbench.checks.findings import Fault
from kdbench.checks.randomness import global_seed
from kdbench.checks.recorder import NotedBatch, NotedOutputs
from kdbench.method import Batch, Method
from kdbench.model import Outputs
from kdbench.run import Run
from kdbench.training.member import Member, teacher_outputs

Terms = Callable[[Outputs, Outputs, Batch], dict[str, Tensor]]
Change = Callable[[Outputs], Outputs]


@dataclass(frozen=True)
class Shared:
    """A tensor and a copy of it from before the step."""

    tensor: Tensor
    before: Tensor

    @property
    def overwritten(self) -> bool:
        """Whether the step changed it."""
        return not torch.equal(self.tensor, self.before)


@dataclass(frozen=True)
class HandedOver:
    """What the harness gave a method in a step; `shared` is what other methods of its cohort get too."""

    student: NotedOutputs
    teacher: NotedOutputs
    batch: NotedBatch
    shared: dict[str, Shared]


class Trainee:
    """A run's `Member` with a teacher of its own.

    Every step runs from a global random state of its own, which follows from (salt, epoch, step). `wrap` replaces the
    method's `terms` by something made of it; `change` the outputs of the student's and of the teacher's network.
    """

    handed: HandedOver
    #: Terms of the last step, without their graph.
    terms: dict[str, Tensor]

    def __init__(
        self,
        bench: Bench,
        run: Run,
        pre_stage: Method | None,
        *,
        salt: int = 0,
        wrap: Callable[[Terms], Terms] | None = None,
        change: Mapping[str, Change] | None = None,
    ):
        self.bench = bench
        self.teacher = bench.teacher_copy(run.teacher.architecture) if run.teacher else None
        self._salt = salt
        self._change = change or {}
        with global_seed("build", salt):
            self.member = Member(run, bench.registry, bench.dataset, self.teacher, pre_stage, bench.device)
        terms: Terms = self.member.method.terms
        self._terms = wrap(terms) if wrap else terms
        # As instance attributes, so that `Member` makes its step with them and nothing of it is written again here.
        # Weakly, so that a trainee and its weights are gone as soon as nobody holds it.
        watched = weakref.WeakMethod(self._watched_terms)
        vars(self.member.method)["terms"] = lambda *handed: cast(Terms, watched())(*handed)
        if "student" in self._change:
            outputs = self.member.network.outputs
            vars(self.member.network)["outputs"] = lambda *asked: self._change["student"](outputs(*asked))

    def step(
        self,
        epoch: int,
        step: int,
        watch: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        *,
        most: int = BATCH,
    ) -> None:
        """One batch, of `most` images at most; within `watch` what the member does with it."""
        images, batch = self.bench.batch(epoch, step, most)
        targets = teacher_outputs(self.teacher, images, self.member.run.recipe.autocast) if self.teacher else None
        if targets and "teacher" in self._change:
            targets = self._change["teacher"](targets)
        with global_seed("step", self._salt, epoch, step), watch():
            self.member.step(images, targets, batch, epoch, step)

    def _watched_terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        self.handed = HandedOver(
            NotedOutputs(student), NotedOutputs(teacher), NotedBatch(batch), _shared(teacher, batch)
        )
        terms = self._terms(self.handed.student, self.handed.teacher, self.handed.batch)
        refuse_malformed(terms, self.member.weights)
        self.terms = {name: value.detach() for name, value in terms.items()}
        return terms

    def total(self) -> float:
        """Σ weight × term of the last step."""
        return sum(weight * float(self.terms[name]) for name, weight in self.member.weights.items())

    def fingerprint(self) -> dict[str, str]:
        """sha256 of each tensor that training changes and a checkpoint keeps."""
        state = {f"student's {name}": value for name, value in self.member.network.state_dict().items()}
        state |= self.member.method.state_dict()
        return _digests(state)

    def gradients(self) -> dict[str, str]:
        """sha256 of the gradient of each parameter that has one."""
        parameters = {f"student's {name}": p for name, p in self.member.network.named_parameters()}
        parameters |= dict(self.member.method.named_parameters())
        return _digests({name: p.grad for name, p in parameters.items() if p.grad is not None})

    def released_method(self) -> Method:
        """The method's trained modules, frozen and no longer watched: what a pre-stage hands on."""
        vars(self.member.method).pop("terms")
        return self.member.method.eval().requires_grad_(False)


def refuse_malformed(terms: dict[str, Tensor], weights: Mapping[str, float]) -> None:
    """Raise a fault of the check `terms` for what could not be summed to a loss."""
    if terms.keys() != weights.keys():
        raise Fault(
            f"`terms` gives {sorted(terms)}, but `weights` names {sorted(weights)}",
            "give both the same names; a term that is switched off is left out of both",
            "terms",
        )
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.dim():
            raise Fault(f"term '{name}' is {in_words(value)}", "reduce it over the batch to a scalar tensor", "terms")


def in_words(value: object) -> str:
    """What a method gave, be it a tensor or not."""
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def differing(one: dict[str, str], other: dict[str, str]) -> str:
    """What differs between two fingerprints, in words; empty where nothing does."""
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    return f"{min(names)} (and {len(names) - 1} more)" if len(names) > 1 else "".join(names)


def _shared(teacher: Outputs, batch: Batch) -> dict[str, Shared]:
    found = {"labels of the batch": batch.labels}
    for feature in teacher.features:
        value = getattr(teacher, feature)
        parts = value if isinstance(value, tuple) else (value,)
        found |= {f"{feature} of the teacher" + f", number {n + 1}" * (len(parts) > 1): p for n, p in enumerate(parts)}
    return {name: Shared(tensor, tensor.clone()) for name, tensor in found.items()}


def _digests(values: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: hashlib.sha256(_bytes(value)).hexdigest() for name, value in values.items()}


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
