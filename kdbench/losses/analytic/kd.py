"""`kd` with its gradient in closed form."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdbench.losses.analytic.divergence import divergences, kept_type
from kdbench.losses.analytic.scaling import headroom, scaled
from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.precision import accumulation_type


def _forward(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float | None, tau_squared: bool, mean: bool
) -> tuple[Any, ...]:
    temperature = _temperature(constants, tau, accumulation_type(constants[0], *heads))
    losses, slopes = divergences(heads, constants[0], temperature)
    if tau_squared:
        losses.mul_(temperature**2)
    return losses.mean() if mean else losses.squeeze(0).clone(), slopes


def _temperature(constants: Sequence[Tensor], tau: float | None, dtype: torch.dtype) -> float | Tensor:
    """A number, or the temperatures per sample [B] in `dtype` at least, so that what is made of them is not rounded."""
    return constants[1].to(torch.promote_types(constants[1].dtype, dtype)) if tau is None else tau


def _fake(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float | None, tau_squared: bool, mean: bool
) -> tuple[Tensor, ...]:
    batch, classes = heads[0].shape
    empty = heads[0].new_empty((), dtype=accumulation_type(constants[0], *heads)).new_empty
    return empty(()) if mean else empty(batch), empty(1, batch, classes, dtype=kept_type(heads))


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, options = saved
    (g,), (head,), (tau, tau_squared, mean) = upstream, inputs.heads, options
    if g is None:
        return [None]
    temperature = _temperature(inputs.constants, tau, g.dtype)
    scale = g * (temperature if tau_squared else 1 / temperature)
    (slope,) = kept[0]
    scale = scale / ((len(head) if mean else 1) * headroom(slope.dtype))
    rows = scale.unsqueeze(1) if scale.dim() else scale
    return [scaled(slope, rows, in_place)]


#: See `kdbench.losses.kd`.
kd = FusedLoss("analytic_kd", "float? tau, bool tau_squared, bool mean", 1, "Tensor", _forward, _fake, _backward)
