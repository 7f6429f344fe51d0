"""`deep_kd` as one launch (two where the batch needs several programs)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdbench.losses.backend import BATCH_WEIGHTS
from kdbench.losses.fused import FusedLoss, Gradients, Inputs
from kdbench.losses.triton.divergence import divergence
from kdbench.losses.triton.scaling import scaled, split_unit


def _split(tau: float, tau_squared: bool, head: Tensor) -> tuple[float, float]:
    return split_unit((tau if tau_squared else 1 / tau) / len(head), head.dtype)


def _forward(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool, adaptive: bool, detach: bool
) -> tuple[Tensor, ...]:
    unit, _ = _split(tau, tau_squared, heads[0])
    factor = tau**2 if tau_squared else 1.0
    return divergence(heads, constants[0], tau, factor, unit, adaptive=adaptive, detach=detach)


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    last, shallow = (heads[0].new_empty((), dtype=torch.float32) for _ in range(2))
    return last, shallow, heads[0].new_empty(len(heads), *heads[0].shape)


def _backward(
    kept: Sequence[Any],
    upstream: Sequence[Tensor | None],
    inputs: Inputs,
    options: tuple[Any, ...],
    *,
    in_place: bool,
) -> Gradients:
    tau, tau_squared, *_ = options
    _, rest = _split(tau, tau_squared, inputs.heads[0])
    return scaled(kept[0], upstream, rest, in_place=in_place)


_loss = FusedLoss(
    "triton_deep_kd",
    "float tau, bool tau_squared, bool adaptive, bool detach",
    2,
    "Tensor",
    _forward,
    _fake,
    _backward,
)


def deep_kd(
    teacher_logits: Tensor,
    shallow_logits: Sequence[Tensor],
    last_logits: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
    adaptive: bool = True,
    detach: bool = True,
    per_sample: bool = True,
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.deep_kd`; adaptive weights are those of each sample."""
    if adaptive and not per_sample:
        raise ValueError(BATCH_WEIGHTS)
    heads = (*shallow_logits, last_logits)
    last, shallow = _loss(heads, (teacher_logits,), float(tau), tau_squared, adaptive, detach)
    return last, shallow
