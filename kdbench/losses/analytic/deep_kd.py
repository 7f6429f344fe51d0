"""`deep_kd` with its gradient in closed form."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from kdbench.losses.analytic.deep import combine, gradients
from kdbench.losses.analytic.divergence import divergences, kept_type
from kdbench.losses.analytic.scaling import headroom
from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.precision import accumulation_type
from kdbench.losses.weighting import WEIGHTING


def _factor(tau: float, tau_squared: bool) -> float:
    return tau**2 if tau_squared else 1.0


def _forward(
    heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool, *weighting: bool
) -> tuple[Any, ...]:
    losses, slopes = divergences(heads, constants[0], tau)
    last, shallow, rates = combine(losses.mul_(_factor(tau, tau_squared)), *weighting)
    return last, shallow, slopes, rates


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    batch, classes = heads[0].shape
    empty = heads[0].new_empty((), dtype=accumulation_type(*constants, *heads)).new_empty
    return empty(()), empty(()), empty(len(heads), batch, classes, dtype=kept_type(heads)), empty(len(heads) - 1, batch)


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, options = saved
    (slopes, rates), (tau, tau_squared, *_) = kept, options
    slope = _factor(tau, tau_squared) / tau / headroom(slopes[0].dtype)
    return gradients(tuple(slopes), rates, slope, upstream, inputs.heads, in_place)


#: See `kdbench.losses.deep_kd`.
deep_kd = FusedLoss(
    "analytic_deep_kd", f"float tau, bool tau_squared, {WEIGHTING}", 2, "Tensor, Tensor", _forward, _fake, _backward
)
