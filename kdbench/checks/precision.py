"""Checks of a method's numbers where they are large or coarse."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.checks.case import Case
from kdbench.checks.findings import Fault
from kdbench.model import Outputs

#: Far beyond what training reaches; exp overflows in float32 from 89 on.
EXTREME = 1e4
#: What a term may differ by between bf16 and fp32 modules on equal features, as a share of itself and of the whole
#: loss: bf16 rounds to 1 part in 256, and a method's own modules are some layers deep.
OF_TERM, OF_TOTAL = 0.03, 0.005


def extreme_logits(case: Case) -> None:
    """Loss and gradients are finite where logits reach ±1e4."""
    trainee = case.trainee(change={"student": _Extreme(0), "teacher": _Extreme(1)})
    trainee.step(epoch=1, step=0)
    advice = "compute in log-softmax form, from raw logits: the logarithm of a softmax that rounds to 0 is -inf"
    for name, value in trainee.terms.items():
        if not value.isfinite():
            raise Fault(f"term '{name}' is {value.item()} at logits of ±{EXTREME:g}", advice)
    for owner, module in (("student's ", trainee.member.network), ("", trainee.member.method)):
        for name, parameter in module.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                raise Fault(f"the gradient of {owner}'{name}' is not finite at logits of ±{EXTREME:g}", advice)


class _Extreme:
    """Replaces logits by -1e4, 0 and 1e4 at random; what flows back through them reaches the network as it is."""

    def __init__(self, number: int):
        self._number = number

    def __call__(self, outputs: Outputs) -> Outputs:
        values = {name: getattr(outputs, name) for name in outputs.features}
        values["logits"] = outputs.logits + (self._drawn(outputs.logits) - outputs.logits).detach()
        return Outputs(outputs.owner, **values)

    def _drawn(self, logits: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self._number)
        drawn = (torch.randint(3, logits.shape, generator=generator) - 1) * EXTREME
        # Both networks at one prediction, and at opposite ones.
        drawn[0] = 0
        drawn[1], drawn[2] = EXTREME, -EXTREME
        drawn[1, 0], drawn[2, -1] = -EXTREME, EXTREME
        drawn[3] = EXTREME * (-1) ** self._number
        drawn[3, 0] = -drawn[3, 0]
        return drawn.to(logits)


def bf16(case: Case) -> None:
    """Under bf16 autocast terms are finite float32 values, near those of fp32 modules on the same features."""
    ours, reference = case.trainee("bf16"), case.trainee("bf16")
    # Its network still computes in bf16, so both see equal features and what differs is the method's own doing.
    reference.member.method.precision = torch.float32
    for trainee in (ours, reference):
        trainee.step(epoch=1, step=0)
    total = abs(reference.total())
    advice = "compute losses from the float32 features that `terms` gets, and own modules through `self.run`"
    for name, value in ours.terms.items():
        if value.dtype not in (torch.float32, torch.float64):
            raise Fault(f"term '{name}' is computed in {str(value.dtype).removeprefix('torch.')}", advice)
        expected, weight = float(reference.terms[name]), abs(ours.member.weights[name])
        allowed = OF_TERM * abs(expected) + (OF_TOTAL * total / weight if weight else 0)
        if not value.isfinite() or abs(float(value) - expected) > allowed:
            raise Fault(f"term '{name}' is {value.item():.6g} under bf16 autocast, {expected:.6g} in float32", advice)
