"""Checks of what a method must leave alone: the teacher, what others share, and the host."""

from __future__ import annotations

import torch

from kdbench.checks.case import Case
from kdbench.checks.findings import Fault
from kdbench.model import StagedModel


def teacher(case: Case) -> None:
    """The teacher stays in eval mode and unchanged, bit for bit, without gradients; its features and the batch too."""
    if overwritten := case.first.overwritten:
        raise Fault(
            f"a step overwrites {', '.join(overwritten)}, which all methods of a cohort share",
            "work on a copy: `x.clone()`, or the operation without the underscore",
        )
    if case.main.teacher:
        _unchanged(case.main.teacher.network, case)
    if case.is_pre_stage:
        _unchanged(case.main.member.network, case)


def _unchanged(network: StagedModel, case: Case) -> None:
    advice = "copy what you keep of it (`copy.deepcopy`), frozen and in eval mode; do not make it a submodule"
    if training := [name or "the whole" for name, module in network.named_modules() if module.training]:
        raise Fault(f"the teacher is in training mode ({training[0]})", advice)
    if trained := [name for name, p in network.named_parameters() if p.requires_grad or p.grad is not None]:
        raise Fault(f"the teacher's '{trained[0]}' asks for or has a gradient", advice)
    untouched = case.bench.teacher(case.pair.teacher).network.state_dict()
    for name, value in network.state_dict().items():
        if not torch.equal(value, untouched[name]):
            raise Fault(f"the teacher's '{name}' has changed", advice)


def host_sync(case: Case) -> None:
    """A step never waits for a value: it can be captured once and replayed."""
    if syncs := case.first.syncs:
        more = f" (and {len(syncs) - 1} more places)" if len(syncs) > 1 else ""
        raise Fault(
            f"{syncs[0]}{more}",
            "keep values in tensors: torch.where for a branch, a weight of 0 for a mask, a buffer made in `setup` for "
            "numbers",
        )
