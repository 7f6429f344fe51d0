"""`deep_mse` with its gradient in closed form."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdbench.losses.analytic.blocks import blocks
from kdbench.losses.analytic.deep import combine, gradients
from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.precision import accumulation_type
from kdbench.losses.weighting import WEIGHTING


def _forward(heads: Sequence[Tensor], constants: Sequence[Tensor], *weighting: bool) -> tuple[Any, ...]:
    target = constants[0]
    dtype = accumulation_type(target, *heads)
    whole = _whole(heads, target) or torch.compiler.is_compiling()
    norms, differences = zip(*(_difference(x, target, dtype, whole) for x in heads), strict=True)
    losses = torch.stack(norms).square_().div_(target.numel() // len(target))
    last, shallow, rates = combine(losses, *weighting)
    # Inductor makes no maps of differences: backward reads the inputs once, as it would read these.
    return last, shallow, [] if torch.compiler.is_compiling() else list(differences), rates


def _whole(heads: Sequence[Tensor], target: Tensor) -> bool:
    """Whether maps wait for backward as they are subtracted, all being of one type that losses accumulate in.

    Otherwise halves wait: float16 maps may lie farther apart than float16 reaches.
    """
    return {x.dtype for x in heads} == {target.dtype} == {accumulation_type(target, *heads)}


def _difference(head: Tensor, target: Tensor, dtype: torch.dtype, whole: bool) -> tuple[Tensor, Tensor]:
    """(norms [B] in `dtype`, differences or, unless `whole`, their halves in the head's type) of head − target.

    The differences lie where the gradients will be: no other tensor of a map's size is made. Each head's have their own
    memory, since the allocator keeps a block of one map for the next step where it gives one of all maps back.
    """
    places = tuple(range(1, head.dim()))
    if whole:
        difference = head.to(dtype) - target
        return torch.linalg.vector_norm(difference, dim=places), difference
    norms, differences = head.new_empty(len(head), dtype=dtype), torch.empty_like(head)
    for part in blocks(len(head), head.shape[1:].numel() * dtype.itemsize, head.device):
        difference = head[part] - target[part].to(dtype)
        norms[part] = torch.linalg.vector_norm(difference, dim=places)
        differences[part] = difference.mul_(0.5)
    return norms, differences


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], *weighting: bool) -> tuple[Any, ...]:
    target = constants[0]
    dtype = accumulation_type(target, *heads)
    empty = heads[0].new_empty((), dtype=dtype).new_empty
    whole = _whole(heads, target)
    differences = [x - target if whole else torch.empty_like(x) for x in heads]
    return empty(()), empty(()), differences, empty(len(heads) - 1, len(heads[0]))


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, _ = saved
    (differences, rates), target = kept, inputs.constants[0]
    whole = _whole(inputs.heads, target) or not differences
    if not differences:
        differences = [x.to(accumulation_type(target, *inputs.heads)) - target for x in inputs.heads]
    slope = (2 if whole else 4) * len(differences[0]) / differences[0].numel()
    return gradients(differences, rates, slope, upstream, inputs.heads, in_place)


#: See `kdbench.losses.deep_mse`.
deep_mse = FusedLoss("analytic_deep_mse", WEIGHTING, 2, "Tensor[], Tensor", _forward, _fake, _backward)
