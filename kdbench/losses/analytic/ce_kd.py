"""`ce_kd` with its gradient in closed form."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import log_softmax

from kdbench.losses.analytic.divergence import divergences
from kdbench.losses.fused import FusedLoss, Gradients, Inputs
from kdbench.losses.precision import accumulation_type


def _forward(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Any, ...]:
    teacher, labels = constants
    losses, slopes = divergences(heads, teacher, tau)
    log_q = log_softmax(heads[0].to(losses.dtype), dim=1)
    at = labels.unsqueeze(1)
    chosen = log_q.gather(1, at)
    ce = chosen.mean().neg_()
    # softmax(z) − onehot(y), the gradient of the cross-entropy, where log softmax(z) was. Each loss keeps a gradient of
    # its own, one [B, K] more than is returned: adding them needs both upstream gradients, known only later.
    errors = log_q.exp_().scatter_(1, at, chosen.expm1())
    return ce, losses.mean() * (tau**2 if tau_squared else 1.0), errors, slopes


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Tensor, ...]:
    shape = heads[0].shape
    empty = heads[0].new_empty((), dtype=accumulation_type(constants[0], *heads)).new_empty
    return empty(()), empty(()), empty(shape), empty((1, *shape))


def _backward(
    kept: Sequence[Any],
    upstream: Sequence[Tensor | None],
    inputs: Inputs,
    options: tuple[Any, ...],
    *,
    in_place: bool,
) -> Gradients:
    (errors, slopes), (of_ce, of_kd), (head,), (tau, tau_squared) = kept, upstream, inputs.heads, options
    (slope,) = slopes
    multiply = Tensor.mul_ if in_place else Tensor.mul
    parts = []
    if of_ce is not None:
        parts.append(multiply(errors, of_ce / len(head)))
    if of_kd is not None:
        parts.append(multiply(slope, of_kd * ((tau if tau_squared else 1 / tau) / len(head))))
    if not parts:
        return [None]
    total = parts[0] if len(parts) == 1 else (Tensor.add_ if in_place else Tensor.add)(*parts)
    return [total.to(head.dtype)]


_loss = FusedLoss("analytic_ce_kd", "float tau, bool tau_squared", 2, "Tensor, Tensor", _forward, _fake, _backward)


def ce_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.ce_kd`."""
    ce, kd = _loss((student_logits,), (teacher_logits, labels), float(tau), tau_squared, compiled=compiled)
    return ce, kd
