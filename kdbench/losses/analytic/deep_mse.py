"""`deep_mse` with its gradient in closed form."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdbench.losses.analytic.deep import WEIGHTING, combine, gradients
from kdbench.losses.fused import FusedLoss, Gradients, Inputs
from kdbench.losses.precision import accumulation_type


def _forward(heads: Sequence[Tensor], constants: Sequence[Tensor], *weighting: bool) -> tuple[Any, ...]:
    target = constants[0]
    # The differences lie where the gradients will be: no other tensor of a map's size is made. Each has its own memory,
    # since the allocator keeps a block of one map for the next step where it gives one of all maps back to the system.
    differences = _differences(heads, target)
    places = tuple(range(1, target.dim()))
    norms = torch.stack([torch.linalg.vector_norm(x, dim=places) for x in differences])
    last, shallow, rates = combine(norms.square_().div_(target.numel() // len(target)), *weighting)
    if torch.compiler.is_compiling():
        differences = []  # Inductor makes no maps of them; backward reads the inputs once, as it would read these
    return last, shallow, differences, rates


def _differences(heads: Sequence[Tensor], target: Tensor) -> list[Tensor]:
    dtype = accumulation_type(target, *heads)
    return [x - target if x.dtype == dtype else x.to(dtype).sub_(target) for x in heads]


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], *weighting: bool) -> tuple[Any, ...]:
    dtype = accumulation_type(*constants, *heads)
    empty = heads[0].new_empty((), dtype=dtype).new_empty
    differences = [x.to(dtype) - constants[0] for x in heads]
    return empty(()), empty(()), differences, empty(len(heads) - 1, len(heads[0]))


def _backward(
    kept: Sequence[Any],
    upstream: Sequence[Tensor | None],
    inputs: Inputs,
    options: tuple[Any, ...],
    *,
    in_place: bool,
) -> Gradients:
    differences, rates = kept
    differences = differences or _differences(inputs.heads, inputs.constants[0])
    slope = 2 * len(differences[0]) / differences[0].numel()
    return gradients(differences, rates, slope, upstream, inputs.heads, in_place)


_loss = FusedLoss("analytic_deep_mse", WEIGHTING, 2, "Tensor[], Tensor", _forward, _fake, _backward)


def deep_mse(
    teacher_map: Tensor,
    shallow_maps: Sequence[Tensor],
    last_map: Tensor,
    *,
    adaptive: bool = True,
    detach: bool = True,
    per_sample: bool = True,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.deep_mse`."""
    heads = (*shallow_maps, last_map)
    last, shallow = _loss(heads, (teacher_map,), adaptive, detach, per_sample, compiled=compiled)
    return last, shallow
