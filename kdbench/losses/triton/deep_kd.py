"""`deep_kd` as one launch (two where the batch needs several programs)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.triton.divergence import divergence
from kdbench.losses.triton.scaling import scaled, split_unit
from kdbench.losses.weighting import WEIGHTING


def _split(tau: float, tau_squared: bool, head: Tensor) -> tuple[float, float]:
    return split_unit((tau if tau_squared else 1 / tau) / len(head), head.dtype)


def _forward(
    heads: Sequence[Tensor],
    constants: Sequence[Tensor],
    tau: float,
    tau_squared: bool,
    adaptive: bool,
    detach: bool,
    per_sample: bool,  # is so wherever this is chosen and it matters
) -> tuple[Tensor, ...]:
    unit, _ = _split(tau, tau_squared, heads[0])
    factor = tau**2 if tau_squared else 1.0
    return divergence(heads, constants[0], tau, factor, unit, adaptive=adaptive, detach=detach)


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    last, shallow = (heads[0].new_empty((), dtype=torch.float32) for _ in range(2))
    return last, shallow, heads[0].new_empty(len(heads), *heads[0].shape)


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, options = saved
    tau, tau_squared, *_ = options
    _, rest = _split(tau, tau_squared, inputs.heads[0])
    return scaled(kept[0], upstream, rest, in_place=in_place)


#: See `kdbench.losses.deep_kd`.
deep_kd = FusedLoss(
    "triton_deep_kd",
    f"float tau, bool tau_squared, {WEIGHTING}",
    2,
    "Tensor",
    _forward,
    _fake,
    _backward,
)
