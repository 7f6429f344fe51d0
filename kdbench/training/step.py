"""A training step of all members of a cohort: one batch, one teacher forward, every member's update.

Two implementations of one interface: eager, and captured as CUDA graphs that are replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from kdbench.data.batches import Batches
from kdbench.method import Batch
from kdbench.model import FEATURES, Outputs
from kdbench.training.lanes import Lanes, Work
from kdbench.training.member import FrozenTeacher, Member, teacher_outputs

#: Steps before a capture: libraries choose their algorithms and allocate their workspaces in the first ones.
WARM_UPS = 3

Faults = list[tuple[Member, Exception]]


@dataclass
class Lockstep:
    """What members of a cohort share, and who they are."""

    members: list[Member]
    teacher: FrozenTeacher | None
    batches: Batches
    epoch: Tensor
    position: Tensor

    @classmethod
    def of(cls, members: Sequence[Member], teacher: FrozenTeacher | None, batches: Batches) -> Lockstep:
        device = members[0].totals.device
        return cls(list(members), teacher, batches, torch.zeros((), device=device), torch.zeros((), device=device))

    def seek(self, epoch: int, step: int) -> None:
        """Tell the device which step comes; no waiting."""
        self.epoch.fill_(epoch)
        self.position.fill_(step)
        for member in self.members:
            member.reseed(epoch, step)

    def updates(self, drawn: Tensor) -> list[Work]:
        """Makes the batch and the teacher's features; each member's update, to be called in any order."""
        images, labels, index = self.batches.gather(drawn)
        batch = Batch(labels, index=index, epoch=self.epoch)
        needed = tuple(feature for feature in FEATURES if any(feature in m.needs.teacher for m in self.members))
        targets: Outputs | None = None
        if self.teacher and needed:
            targets = teacher_outputs(self.teacher, images, self.members[0].run.recipe.autocast, needed)
        return [partial(member.update, images, targets, batch, self.position) for member in self.members]


class Step(Protocol):
    """Trains the members for one batch. None of its calls waits for the device, but for those that capture."""

    def __call__(self, epoch: int, step: int) -> Faults:
        """Batch `step` of the epoch that `Batches` holds; members that raised are dropped and returned."""

    def drop(self, member: Member) -> None:
        """Go on without a member."""


class EagerStep:
    """Operator by operator, member by member."""

    def __init__(self, work: Lockstep):
        self._work = work

    def __call__(self, epoch: int, step: int) -> Faults:
        work = self._work
        work.seek(epoch, step)
        faults = attempt(list(work.members), work.updates(work.batches.drawn(step)))
        for member, _ in faults:
            self.drop(member)
        return faults

    def drop(self, member: Member) -> None:
        self._work.members.remove(member)


class GraphedStep:
    """Captured once for each batch size, members on forked lanes, and replayed."""

    def __init__(self, work: Lockstep, lanes: Lanes):
        self._work = work
        self._lanes = lanes
        self._graphs: dict[int, tuple[Tensor, Work]] = {}

    def __call__(self, epoch: int, step: int) -> Faults:
        drawn = self._work.batches.drawn(step)
        self._work.seek(epoch, step)
        faults: Faults = []
        while drawn.shape[1] not in self._graphs and self._work.members:
            found = self._capture(drawn.clone())
            for member, _ in found:
                self.drop(member)
            faults += found
        if self._work.members:
            static, replay = self._graphs[drawn.shape[1]]
            static.copy_(drawn)
            self._work.seek(epoch, step)
            replay()
        return faults

    def drop(self, member: Member) -> None:
        self._work.members.remove(member)
        self._graphs.clear()

    def _capture(self, drawn: Tensor) -> Faults:
        """Captures the step of batch `drawn`, which stays the graph's input; without capture, the members at fault."""
        members = list(self._work.members)
        before = [member.snapshot() for member in members]
        faults: Faults = []
        try:
            self._lanes.warm_up(lambda: faults.extend(self._warm_up(members, drawn)))
        finally:
            for member, state in zip(members, before, strict=True):
                member.restore(state)
        if not faults:
            try:
                self._graphs[drawn.shape[1]] = drawn, self._record(members, drawn)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                faults = self._uncapturable(members, drawn)
                if not faults:
                    raise RuntimeError("the step cannot be captured, though each member's alone can") from error
        return faults

    def _warm_up(self, members: list[Member], drawn: Tensor) -> Faults:
        faults: Faults = []
        for _ in range(WARM_UPS):
            pieces = self._work.updates(drawn)
            # Guarded piece by piece, so that the lanes are joined whatever happens on one of them.
            guarded = [
                lambda m=member, p=piece: faults.extend(attempt([m], [p]))
                for member, piece in zip(members, pieces, strict=True)
            ]
            self._lanes.side_by_side(guarded)
            if faults:
                break
        return faults

    def _record(self, members: list[Member], drawn: Tensor) -> Work:
        chosen = set(members)

        def work() -> None:
            pieces = zip(self._work.members, self._work.updates(drawn), strict=True)
            self._lanes.side_by_side([piece for member, piece in pieces if member in chosen])

        return self._lanes.capture(work, [member.generator for member in members if member.generator is not None])

    def _uncapturable(self, members: list[Member], drawn: Tensor) -> Faults:
        faults: Faults = []
        for member in members:
            try:
                self._record([member], drawn)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                faults.append((member, error))
        return faults


def attempt(members: Sequence[Member], pieces: Sequence[Work]) -> Faults:
    """Run each member's piece; those that raised, with their error. Want of memory is nobody's fault: it is raised."""
    faults: Faults = []
    for member, piece in zip(members, pieces, strict=True):
        try:
            piece()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            faults.append((member, error))
    return faults
