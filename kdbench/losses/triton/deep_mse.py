"""`deep_mse` as a launch of one program a sample, and one that adds up."""

# Kernels: constants in capitals and tuples grown by `+`, as Triton's language has them; no types, as it has none.
# ruff: noqa: N803, RUF005
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call, import-untyped, assignment"

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.layout import Layout
from kdbench.losses.triton.blocks import MAP_WARPS, device_of, held_block, holds, map_block, row_strides, rows_of
from kdbench.losses.triton.scaling import head_rates, means, scaled, split_unit
from kdbench.losses.weighting import EPSILON, WEIGHTING


@triton.jit
def _held(
    target, heads, gradient, last, shallow,  # [B, N], L of [B, N], [L, B, N], [B], [B]
    batch, unit, epsilon,
    target_stride: tl.constexpr, strides: tl.constexpr,
    N: tl.constexpr, HEADS: tl.constexpr, ADAPTIVE: tl.constexpr, DETACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A sample whose maps fit one block: each is read once, and the shallow heads' differences wait for their weights.

    The last head's gradient has none to wait for, and leaves its registers to the others.
    """
    sample = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    t = tl.load(target + sample * target_stride + at, mask=at < N, other=0.0).to(tl.float32)
    f = tl.load(heads[HEADS - 1] + sample * strides[HEADS - 1] + at, mask=at < N, other=0.0).to(tl.float32)
    loss = tl.sum((f - t) * (f - t)) / N
    out = gradient + ((HEADS - 1) * tl.cast(batch, tl.int64) + sample) * N + at
    tl.store(out, ((f - t) * unit).to(gradient.dtype.element_ty), mask=at < N)
    differences = ()
    losses = ()
    for head in tl.static_range(HEADS - 1):
        f = tl.load(heads[head] + sample * strides[head] + at, mask=at < N, other=0.0).to(tl.float32)
        differences = differences + (f - t,)
        losses = losses + (tl.sum(differences[head] * differences[head]) / N,)
    rates, value = head_rates(losses + (loss,), epsilon, HEADS, ADAPTIVE, DETACH)
    tl.store(last + sample, loss)
    tl.store(shallow + sample, value)
    for head in tl.static_range(HEADS - 1):
        out = gradient + (head * tl.cast(batch, tl.int64) + sample) * N + at
        tl.store(out, (differences[head] * (rates[head] * unit)).to(gradient.dtype.element_ty), mask=at < N)


@triton.jit
def _read_twice(
    target, heads, gradient, last, shallow,  # as above
    batch, unit, epsilon,
    target_stride: tl.constexpr, strides: tl.constexpr,
    N: tl.constexpr, HEADS: tl.constexpr, ADAPTIVE: tl.constexpr, DETACH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A sample's errors, then its gradients.

    Its weights need its whole errors, so its maps are read twice. They come from device memory once: the second time
    goes backwards, and finds what was read last in the caches.
    """
    sample = tl.program_id(0).to(tl.int64)
    target += sample * target_stride
    sums = ()
    for _head in tl.static_range(HEADS):
        sums = sums + (tl.zeros([BLOCK], tl.float32),)
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        t = tl.load(target + at, mask=at < N, other=0.0).to(tl.float32)
        added = ()
        for head in tl.static_range(HEADS):
            f = tl.load(heads[head] + sample * strides[head] + at, mask=at < N, other=0.0).to(tl.float32)
            added = added + (sums[head] + (f - t) * (f - t),)
        sums = added
    losses = ()
    for head in tl.static_range(HEADS):
        losses = losses + (tl.sum(sums[head]) / N,)
    rates, value = head_rates(losses, epsilon, HEADS, ADAPTIVE, DETACH)
    tl.store(last + sample, losses[HEADS - 1])
    tl.store(shallow + sample, value)
    for done in range(0, N, BLOCK):
        at = (N - 1) // BLOCK * BLOCK - done + tl.arange(0, BLOCK)
        t = tl.load(target + at, mask=at < N, other=0.0).to(tl.float32)
        # All are loaded before the first is stored: no load passes a store, which may be to the same place.
        maps = ()
        for head in tl.static_range(HEADS):
            maps = maps + (tl.load(heads[head] + sample * strides[head] + at, mask=at < N, other=0.0).to(tl.float32),)
        for head in tl.static_range(HEADS):
            out = gradient + (head * tl.cast(batch, tl.int64) + sample) * N + at
            tl.store(out, ((maps[head] - t) * (rates[head] * unit)).to(gradient.dtype.element_ty), mask=at < N)


def _split(head: Tensor) -> tuple[float, float]:
    return split_unit(2 / head.numel(), head.dtype)


def _forward(
    heads: Sequence[Tensor],
    constants: Sequence[Tensor],
    adaptive: bool,
    detach: bool,
    per_sample: bool,  # is so wherever this is chosen and it matters
) -> tuple[Tensor, ...]:
    layout = Layout.of(heads[-1])
    target, *maps = (rows_of(layout.flat(x)) for x in (constants[0], *heads))
    batch, size = target.shape
    gradient = heads[-1].new_empty(len(heads), batch, size)
    last, shallow = (target.new_empty(batch, dtype=torch.float32) for _ in range(2))
    unit, _ = _split(heads[-1])
    kernel, block = (_held, held_block(size)) if holds(size, len(maps)) else (_read_twice, map_block(size))
    with device_of(target):
        kernel[(batch,)](
            target, tuple(maps), gradient, last, shallow, batch, unit, EPSILON, target.stride(0), row_strides(maps),
            size, len(maps), adaptive, detach, block, num_warps=MAP_WARPS,
        )  # fmt: skip
    return *means(last, shallow, 1 / batch), gradient


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    last, shallow = (heads[0].new_empty((), dtype=torch.float32) for _ in range(2))
    batch = len(heads[0])
    return last, shallow, heads[0].new_empty(len(heads), batch, heads[0].numel() // batch)


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, _ = saved
    layout = Layout.of(inputs.heads[-1])
    _, rest = _split(inputs.heads[-1])
    rows = scaled(kept[0], upstream, rest, in_place=in_place)
    return [None if x is None else layout.shaped(x) for x in rows]


#: See `kdbench.losses.deep_mse`.
deep_mse = FusedLoss("triton_deep_mse", WEIGHTING, 2, "Tensor", _forward, _fake, _backward)
