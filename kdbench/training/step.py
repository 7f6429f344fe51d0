"""A training step of all members of a cohort: one batch, one teacher forward, every member's update.

Two implementations of one interface: eager, and captured as CUDA graphs that are replayed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from kdbench.data.delivery import Delivery
from kdbench.data.mixing import Mixing
from kdbench.inputs.places import exits_refused
from kdbench.method import Batch
from kdbench.model import FEATURES, Outputs
from kdbench.training.lanes import Lanes, Work, lacks_memory
from kdbench.training.member import FrozenTeacher, Member, Part, refusal, teacher_outputs

#: Steps before a capture: libraries choose their algorithms and allocate their workspaces in the first ones.
WARM_UPS = 3

Faults = list[tuple[Member, Exception]]


@dataclass
class Lockstep:
    """What members of a cohort share, and who they are."""

    members: list[Member]
    teacher: FrozenTeacher | None
    batches: Delivery
    epoch: Tensor
    position: Tensor
    mixing: Mixing | None
    #: Members that must not train, and why.
    refused: dict[Member, str]

    @classmethod
    def of(cls, members: Sequence[Member], teacher: FrozenTeacher | None, batches: Delivery) -> Lockstep:
        device = members[0].totals.device
        if teacher:
            teacher.freeze()
        refused = {member: reason for member in members if (reason := refusal(member, teacher))}
        zero = torch.zeros((), device=device)
        return cls(list(members), teacher, batches, zero, zero.clone(), _mixing(members[0], device), refused)

    def seek(self, epoch: int, step: int) -> None:
        """Tell the device which step comes; no waiting."""
        self.epoch.fill_(epoch)
        self.position.fill_(step)
        if self.mixing:
            self.mixing.seek(epoch, step)
        for member in self.members:
            member.reseed(epoch, step)

    def updates(self, drawn: tuple[Tensor, ...], members: Sequence[Member]) -> list[Work]:
        """Makes the batch and the teacher's features; the update of each of `members`, to be called in any order.

        An update raises if it overwrites what all of them share; what is shared must then be made anew for the others.
        """
        images, labels, index = self.batches.gather(drawn)
        if self.mixing:
            images, labels = self.mixing(images, labels)
        needed = tuple(feature for feature in FEATURES if any(feature in m.needs.teacher for m in members))
        shared = [("the images", images), ("the batch's labels", labels), ("the batch's index", index)]
        shared.append(("the batch's epoch", self.epoch))
        parts = []
        for seen, classes, places in _parted(images, labels, index, members[0].run.recipe.part_size):
            targets: Outputs | None = None
            if self.teacher and needed:
                targets = teacher_outputs(self.teacher, seen, members[0].run.recipe.autocast, needed)
            parts.append(Part(seen, targets, Batch(classes, index=places, epoch=self.epoch)))
            for feature in targets.features if targets else ():
                value = getattr(targets, feature)
                values = value if isinstance(value, tuple) else (value,)
                shared += [(f"the teacher's {feature}", tensor) for tensor in values]
        return [
            partial(_refuse, self.refused[member])
            if member in self.refused
            else partial(_leaving, shared, partial(member.update, parts, self.position))
            for member in members
        ]


def _mixing(member: Member, device: torch.device) -> Mixing | None:
    """What makes labels of class probabilities, where the recipe has them so."""
    run = member.run
    if not run.recipe.soft_labels:
        return None
    names = (run.dataset, run.seed)
    return Mixing(run.recipe.augmentation, run.recipe.label_smoothing, member.num_classes, names, device)


def _parted(images: Tensor, labels: Tensor, index: Tensor, size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """A batch in as few parts of at most `size` images as there can be, all alike but for one image."""
    count = math.ceil(len(labels) / size)
    if count == 1:
        return [(images, labels, index)]
    return list(zip(*(tensor.tensor_split(count) for tensor in (images, labels, index)), strict=True))


class Step(Protocol):
    """Trains the members for one batch. None of its calls waits for the device, but for those that capture."""

    def __call__(self, epoch: int, step: int) -> Faults:
        """Batch `step` of the epoch that `batches` hold; members that raised are dropped and returned."""

    def drop(self, member: Member) -> None:
        """Go on without a member."""


class EagerStep:
    """Operator by operator, member by member."""

    def __init__(self, work: Lockstep):
        self._work = work

    def __call__(self, epoch: int, step: int) -> Faults:
        work = self._work
        faults: Faults = []
        left = list(work.members)
        while left:
            # All anew after a fault: who raised may have overwritten what the others share. A copy of what was drawn,
            # because the batch's index is a part of it.
            work.seek(epoch, step)
            for update in work.updates(_copy(work.batches.drawn(step)), left):
                found = attempt(left.pop(0), update)
                faults += found
                if found:
                    break
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
        #: By the shapes of what is drawn for a batch.
        self._graphs: dict[tuple[torch.Size, ...], tuple[tuple[Tensor, ...], Work]] = {}

    def __call__(self, epoch: int, step: int) -> Faults:
        drawn = self._work.batches.drawn(step)
        faults: Faults = []
        while _shapes(drawn) not in self._graphs and self._work.members:
            self._work.seek(epoch, step)
            found = self._capture(_copy(drawn))
            for member, _ in found:
                self.drop(member)
            faults += found
        if self._work.members:
            static, replay = self._graphs[_shapes(drawn)]
            for part, value in zip(static, drawn, strict=True):
                part.copy_(value)
            self._work.seek(epoch, step)
            replay()
        return faults

    def drop(self, member: Member) -> None:
        self._work.members.remove(member)
        self._graphs.clear()

    def _capture(self, drawn: tuple[Tensor, ...]) -> Faults:
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
                self._graphs[_shapes(drawn)] = drawn, self._record(members, drawn)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                faults = self._uncapturable(members, drawn)
                if not faults:
                    raise RuntimeError("the step cannot be captured, though each member's alone can") from error
        return faults

    def _warm_up(self, members: list[Member], drawn: tuple[Tensor, ...]) -> Faults:
        faults: Faults = []

        def guarded(member: Member, update: Work) -> None:
            # One by one, so that the lanes are joined whatever happens on one of them; none after a fault, which may
            # have overwritten what they share.
            if not faults:
                faults.extend(attempt(member, update))

        for _ in range(WARM_UPS):
            updates = self._work.updates(drawn, members)
            self._lanes.side_by_side([partial(guarded, *pair) for pair in zip(members, updates, strict=True)])
            if faults:
                break
        return faults

    def _record(self, members: list[Member], drawn: tuple[Tensor, ...]) -> Work:
        def work() -> None:
            self._lanes.side_by_side(self._work.updates(drawn, members))

        return self._lanes.capture(work, [member.generator for member in members if member.generator is not None])

    def _uncapturable(self, members: list[Member], drawn: tuple[Tensor, ...]) -> Faults:
        faults: Faults = []
        for member in members:
            try:
                self._record([member], drawn)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                faults.append((member, error))
        return faults


def _copy(drawn: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(part.clone() for part in drawn)


def _shapes(drawn: tuple[Tensor, ...]) -> tuple[torch.Size, ...]:
    return tuple(part.shape for part in drawn)


def attempt(member: Member, update: Work) -> Faults:
    """Run a member's update; if it raised, the member and its error. Want of memory is nobody's fault: it is raised."""
    try:
        with exits_refused():
            update()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise torch.OutOfMemoryError(str(error)) from error
        return [(member, error)]
    return []


def _refuse(reason: str) -> None:
    raise ValueError(reason)


def _leaving(shared: Sequence[tuple[str, Tensor]], update: Work) -> None:
    """`update()`, which must leave the named tensors in `shared` as they are."""
    # The host knows versions without waiting for the device, as comparing values would.
    before = [tensor._version for _, tensor in shared]
    raised: Exception | None = None
    try:
        update()
    except Exception as error:
        # It may be what autograd says of an overwritten tensor, without its name.
        raised = error
    overwritten = [name for (name, tensor), version in zip(shared, before, strict=True) if tensor._version != version]
    if overwritten:
        raise ValueError(
            f"a step overwrites {', '.join(dict.fromkeys(overwritten))}, which all methods of a cohort share; work on "
            "a copy: `x.clone()`, or the operation without the underscore"
        ) from raised
    if raised:
        raise raised
