"""What one step of a method shows to whoever looks at it from outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from kdbench.checks.host_sync import watching_host_syncs
from kdbench.checks.randomness import drawn_from, global_states
from kdbench.checks.trainee import Trainee
from kdbench.inputs.places import current_place, homes
from kdbench.model import StagedModel

#: A smaller share of a weight than this may be lost to rounding in float32.
VISIBLE = 1e-6


@dataclass(frozen=True)
class Trained:
    """One parameter in one step."""

    name: str
    got_gradient: bool
    nonzero: bool
    moved: bool


@dataclass(frozen=True)
class Observation:
    """A step: its terms, what was read, what waited for the host, what else it touched, and what it trained.

    `drawn_from` are global random generators, `overwritten` shared tensors, `added` parameters that appeared during the
    step, `modules` the method's own parameters, `trunk` whether a gradient reached each part of the student's.
    """

    terms: dict[str, Tensor]
    total: float
    reads: dict[str, set[str]]
    syncs: list[str]
    drawn_from: list[str]
    overwritten: list[str]
    added: list[str]
    modules: list[Trained]
    trunk: dict[str, bool]


def observe(trainee: Trainee, epoch: int, step: int) -> Observation:
    """Make a step of `trainee` and say what it showed."""
    member = trainee.member
    before = {name: p.detach().clone() for name, p in member.method.named_parameters() if p.requires_grad}
    watch = _Watch(homes(member.method_class))
    trainee.step(epoch, step, watch.watching)
    handed = trainee.handed
    after = dict(member.method.named_parameters())
    return Observation(
        terms=trainee.terms,
        total=trainee.total(),
        reads={"student": handed.student.read, "teacher": handed.teacher.read, "batch": handed.batch.read},
        syncs=list(dict.fromkeys(watch.syncs)),
        drawn_from=watch.drawn_from,
        overwritten=[name for name, shared in handed.shared.items() if shared.overwritten],
        added=[name for name, p in after.items() if p.requires_grad and name not in before],
        modules=[_trained(name, old, after[name], member.run.recipe.lr) for name, old in before.items()],
        trunk=_trunk(member.network),
    )


class _Watch:
    """Notes host synchronisations and the use of global random numbers."""

    def __init__(self, folders: frozenset[str]):
        self._folders = folders
        self.syncs: list[str] = []
        self.drawn_from: list[str] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        before = global_states()
        with watching_host_syncs(self._note):
            yield
        self.drawn_from = drawn_from(before)

    def _note(self, what: str) -> None:
        self.syncs.append(f"{what}, {current_place(self._folders, Trainee.step.__code__)}")


def _trained(name: str, before: Tensor, parameter: nn.Parameter, lr: float) -> Trained:
    gradient = parameter.grad
    if gradient is None:
        return Trained(name, got_gradient=False, nonzero=False, moved=False)
    step = (lr * gradient).abs()
    due = step > VISIBLE * before.abs()
    moved = (before - parameter).abs() > step / 2
    return Trained(name, got_gradient=True, nonzero=bool(gradient.any()), moved=bool(moved[due].any() or not due.any()))


def _trunk(network: StagedModel) -> dict[str, bool]:
    """Whether a gradient other than 0 reached each of its parts that has parameters."""
    return {
        name: any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
        for name, part in network.parts.items()
        if any(True for _ in part.parameters())
    }
