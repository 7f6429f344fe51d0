"""`ce_kd` with its gradient in closed form."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from kdbench.losses.analytic.blocks import blocks
from kdbench.losses.analytic.divergence import divergences, kept_type
from kdbench.losses.analytic.scaling import headroom, scaled
from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.precision import accumulation_type


def _forward(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Any, ...]:
    (head,), (teacher, labels) = heads, constants
    losses, slopes = divergences(heads, teacher, tau)
    rows = [_row_terms(head[part], labels[part], losses.dtype) for part in _blocks(head, losses.dtype)]
    chosen, highest, normaliser = (torch.cat(x) for x in zip(*rows, strict=True))
    ce, kd = chosen.mean().neg_(), losses.mean() * (tau**2 if tau_squared else 1.0)
    return ce, kd, slopes, chosen.expm1_(), highest, normaliser


def _row_terms(z: Tensor, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Of logits [b, K]: log softmax(z) at the labels, max z, and −log Σ exp(z − max z), each [b, 1].

    The last two make the logarithms again without a sum, bit for bit, and for any gap between logits; log Σ exp(z), one
    number, would lose the small ones beside a large one.
    """
    log_q = log_softmax(z, dim=1, dtype=dtype)
    return log_q.gather(1, labels.unsqueeze(1)), z.amax(1, keepdim=True).to(dtype), log_q.amax(1, keepdim=True)


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Tensor, ...]:
    batch, classes = heads[0].shape
    empty = heads[0].new_empty((), dtype=accumulation_type(constants[0], *heads)).new_empty
    slopes = empty((1, batch, classes), dtype=kept_type(heads))
    return empty(()), empty(()), slopes, empty((batch, 1)), empty((batch, 1)), empty((batch, 1))


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, options = saved
    ((slope,), *row_terms), (of_ce, of_kd), (tau, tau_squared) = kept, upstream, options
    (head,), (_, labels) = inputs
    factor = (tau if tau_squared else 1 / tau) / len(head) / headroom(slope.dtype)
    of_slope = None if of_kd is None else of_kd * factor
    if of_ce is None:
        return [None if of_slope is None else scaled(slope, of_slope, in_place)]
    of_errors = of_ce / len(head)
    result = slope if in_place else torch.empty_like(slope)
    for part in _blocks(head, row_terms[0].dtype):
        # Made here and not before: adding the two gradients needs both upstream ones, and kept beside the slope this
        # one would be a [B, K] more than is returned.
        gradient = _errors(head[part], labels[part], *(x[part] for x in row_terms)).mul_(of_errors)
        if of_slope is not None:
            gradient.add_(slope[part].to(of_slope.dtype) * of_slope)
        result[part] = gradient
    return [result]


def _blocks(head: Tensor, dtype: torch.dtype) -> list[slice]:
    return blocks(len(head), head.shape[1] * dtype.itemsize, head.device)


def _errors(z: Tensor, labels: Tensor, chosen: Tensor, highest: Tensor, normaliser: Tensor) -> Tensor:
    """softmax(z) − onehot(y) [b, K], the gradient of the cross-entropy; `chosen` [b, 1] is what it is at the labels."""
    q = torch.sub(z, highest).add_(normaliser).exp_()
    at = labels.unsqueeze(1)
    if torch.compiler.is_compiling():  # Inductor would make a tensor to scatter into
        return torch.where(torch.arange(z.shape[1], device=z.device) == at, chosen, q)
    return q.scatter_(1, at, chosen)


#: See `kdbench.losses.ce_kd`.
ce_kd = FusedLoss(
    "analytic_ce_kd", "float tau, bool tau_squared", 2, "Tensor, Tensor, Tensor, Tensor", _forward, _fake, _backward
)
