"""`kd` as one launch (two where the batch needs several programs)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.triton.divergence import divergence
from kdbench.losses.triton.scaling import scaled, split_unit


def _split(tau: float, tau_squared: bool, mean: bool, head: Tensor) -> tuple[float, float]:
    slope = (tau if tau_squared else 1 / tau) / (len(head) if mean else 1)
    return split_unit(slope, head.dtype)


def _forward(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool, mean: bool
) -> tuple[Tensor, ...]:
    unit, _ = _split(tau, tau_squared, mean, heads[0])
    factor = tau**2 if tau_squared else 1.0
    loss, _, gradient = divergence(heads, constants[0], tau, factor, unit, each=not mean)
    return loss, gradient


def _fake(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool, mean: bool
) -> tuple[Tensor, ...]:
    batch, classes = heads[0].shape
    return heads[0].new_empty(() if mean else batch, dtype=torch.float32), heads[0].new_empty(1, batch, classes)


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, options = saved
    (gradient,), (g,), (head,), (tau, tau_squared, mean) = kept, upstream, inputs.heads, options
    _, rest = _split(tau, tau_squared, mean, head)
    if mean or g is None:
        return scaled(gradient, (g, None), rest, in_place=in_place)
    slope = gradient.squeeze(0)
    return [(slope.mul_ if in_place else slope.mul)((g * rest).unsqueeze(1)).to(head.dtype)]


#: See `kdbench.losses.kd`.
kd = FusedLoss("triton_kd", "float tau, bool tau_squared, bool mean", 1, "Tensor", _forward, _fake, _backward)
