"""Steps that kernels share: the heads' weights, means of losses, gradients times their upstream gradient."""

# Kernels: constants in capitals and tuples grown by `+`, as Triton's language has them; no types, as it has none.
# ruff: noqa: N803, RUF005
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call, import-untyped, assignment"

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kdbench.losses.fused import Gradients
from kdbench.losses.triton.blocks import FLAT_BLOCK, FLAT_WARPS, device_of, turns

#: In float16 a gradient divided by the batch would fall under the smallest number, even where a loss scaler's upstream
#: gradient would have lifted it. It is kept this much larger and divided when the upstream gradient is known.
HEADROOM = 4096.0


@triton.jit
def head_rates(losses, epsilon, HEADS: tl.constexpr, ADAPTIVE: tl.constexpr, DETACH: tl.constexpr):
    """Derivative of Σ_l W_l·D_l by each shallow D_l, then a 1 for the last head; and the sum itself."""
    nought = losses[HEADS - 1] * 0.0
    total = nought + epsilon
    value = nought
    for head in tl.static_range(HEADS - 1):
        total += losses[head]
        if ADAPTIVE:
            value += losses[head] * losses[head]
        else:
            value += losses[head] / (HEADS - 1)
    if ADAPTIVE:
        value = value / total
    rates = ()
    for head in tl.static_range(HEADS - 1):
        if not ADAPTIVE:
            rate = nought + 1.0 / (HEADS - 1)
        elif DETACH:
            rate = losses[head] / total
        else:
            rate = (2.0 * losses[head] - value) / total
        rates = rates + (rate,)
    return rates + (nought + 1.0,), value


@triton.jit
def _means(last, shallow, last_mean, shallow_mean, scale, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    of_last = tl.zeros([BLOCK], tl.float32)
    of_shallow = tl.zeros([BLOCK], tl.float32)
    for start in range(0, COUNT, BLOCK):
        at = start + tl.arange(0, BLOCK)
        of_last += tl.load(last + at, mask=at < COUNT, other=0.0)
        of_shallow += tl.load(shallow + at, mask=at < COUNT, other=0.0)
    tl.store(last_mean, tl.sum(of_last) * scale)
    tl.store(shallow_mean, tl.sum(of_shallow) * scale)


def means(last: Tensor, shallow: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Sums of two [n], times `scale`, in one launch and always in the same order: equal bits from run to run."""
    results = last.new_empty(()), last.new_empty(())
    block = min(triton.next_power_of_2(len(last)), FLAT_BLOCK)
    with device_of(last):
        _means[(1,)](last, shallow, *results, scale, len(last), block, num_warps=FLAT_WARPS)
    return results


@triton.jit
def _scale(gradient, of_last, of_shallow, rest, size, HEADS: tl.constexpr, TURNS: tl.constexpr, BLOCK: tl.constexpr):
    head = tl.program_id(1)
    by = tl.where(head == HEADS - 1, tl.load(of_last), tl.load(of_shallow)) * rest
    # The forward pass has made the gradient for an upstream gradient of 1; then this launch touches nothing.
    if by != 1.0:
        for turn in range(TURNS):
            at = (tl.program_id(0) + turn * tl.num_programs(0)).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
            place = gradient + head.to(tl.int64) * size + at
            x = tl.load(place, mask=at < size).to(tl.float32) * by
            tl.store(place, x.to(gradient.dtype.element_ty), mask=at < size)


def split_unit(slope: float, dtype: torch.dtype) -> tuple[float, float]:
    """(unit, rest) with unit·rest = slope: what the forward pass multiplies by, and what is left for the backward."""
    return (HEADROOM, slope / HEADROOM) if dtype == torch.float16 else (slope, 1.0)


def scaled(gradient: Tensor, upstream: Sequence[Tensor | None], rest: float, *, in_place: bool) -> Gradients:
    """The heads' gradients [L, B, N] times the upstream gradients (last, shallow) and `rest`, one [B, N] a head."""
    of_last, of_shallow = upstream
    heads = len(gradient)
    used = [of_shallow] * (heads - 1) + [of_last]
    if not in_place:
        return [None if g is None else x * (g * rest) for x, g in zip(gradient.unbind(0), used, strict=True)]
    numbers = [number for number, g in enumerate(used) if g is not None]
    if numbers:
        part: Any = gradient[numbers[0] : numbers[-1] + 1]
        size = gradient[0].numel()
        programs, each = turns(triton.cdiv(size, FLAT_BLOCK))
        upstream_pair = (used[numbers[-1]], used[numbers[0]])
        with device_of(gradient):
            grid = (programs, len(part))
            _scale[grid](part, *upstream_pair, rest, size, len(part), each, FLAT_BLOCK, num_warps=FLAT_WARPS)
    return [None if g is None else x for x, g in zip(gradient.unbind(0), used, strict=True)]
