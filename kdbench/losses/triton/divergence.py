"""The divergence of several heads from one teacher and its gradient: what `kd` and `deep_kd` launch."""

# Kernels: constants in capitals and tuples grown by `+`, as Triton's language has them; no types, as it has none.
# ruff: noqa: N803, RUF005
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call, import-untyped, assignment"

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kdbench.losses.triton.blocks import WIDEST, device_of, logits_tile, row_strides, rows_of
from kdbench.losses.triton.scaling import head_rates, means
from kdbench.losses.triton.softmax import gap, partition, softmax, tile
from kdbench.losses.weighting import EPSILON


@triton.jit
def _store_losses(last, shallow, of_last, of_shallow, row, batch, scale, EACH: tl.constexpr):
    """Each sample's own loss of the last head, or the program's sums over its samples."""
    if EACH:
        tl.store(last + row, of_last, mask=row < batch)
    else:
        tl.store(last + tl.program_id(0), tl.sum(tl.where(row < batch, of_last, 0.0)) * scale)
        tl.store(shallow + tl.program_id(0), tl.sum(tl.where(row < batch, of_shallow, 0.0)) * scale)


@triton.jit
def _narrow(
    teacher, heads, gradient, last, shallow,  # [B, K], L of [B, K], [L, B, K], [programs or B], [programs]
    batch, inverse_tau, factor, unit, loss_scale, epsilon,
    teacher_stride: tl.constexpr, strides: tl.constexpr, K: tl.constexpr, HEADS: tl.constexpr,
    ADAPTIVE: tl.constexpr, DETACH: tl.constexpr, EACH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows that fit one block: each logit is read once, and the heads' slopes wait in registers for their weights."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    # Rows beyond the batch repeat its last one: finite numbers that are never stored.
    place = tl.minimum(row, batch - 1).to(tl.int64)[:, None]
    # All are loaded before the first is reduced: no load passes a reduction's barriers, and each would wait for the
    # memory by itself.
    target = tile(teacher + place * teacher_stride, 0, inverse_tau, K, BLOCK)
    tiles = ()
    for head in tl.static_range(HEADS):
        tiles = tiles + (tile(heads[head] + place * strides[head], 0, inverse_tau, K, BLOCK),)
    log_p, p = softmax(target)
    losses = ()
    slopes = ()
    for head in tl.static_range(HEADS):
        log_q, q = softmax(tiles[head])
        losses = losses + (gap(p, log_p, log_q, 0, K, BLOCK) * factor,)
        slopes = slopes + (q - p,)
    rates, value = head_rates(losses, epsilon, HEADS, ADAPTIVE, DETACH)
    column = tl.arange(0, BLOCK)[None, :]
    stored = (column < K) & (row < batch)[:, None]
    for head in tl.static_range(HEADS):
        out = gradient + (head * tl.cast(batch, tl.int64) + place) * K + column
        tl.store(out, (slopes[head] * (rates[head] * unit)[:, None]).to(gradient.dtype.element_ty), mask=stored)
    _store_losses(last, shallow, losses[HEADS - 1], value, row, batch, loss_scale, EACH)


@triton.jit
def _wide(
    teacher, heads, gradient, last, shallow,  # as above
    batch, inverse_tau, factor, unit, loss_scale, epsilon,
    teacher_stride: tl.constexpr, strides: tl.constexpr, K: tl.constexpr, HEADS: tl.constexpr,
    ADAPTIVE: tl.constexpr, DETACH: tl.constexpr, EACH: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Longer rows, block by block: once for the partition sums, once for the losses, once for the gradients."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place = tl.minimum(row, batch - 1).to(tl.int64)[:, None]
    teacher += place * teacher_stride
    top, log_sum = partition(teacher, inverse_tau, K, ROWS, BLOCK)
    tops = ()
    log_sums = ()
    losses = ()
    for head in tl.static_range(HEADS):
        t, s = partition(heads[head] + place * strides[head], inverse_tau, K, ROWS, BLOCK)
        loss = tl.zeros([ROWS], tl.float32)
        for start in range(0, K, BLOCK):
            log_p = tile(teacher, start, inverse_tau, K, BLOCK) - top - log_sum
            log_q = tile(heads[head] + place * strides[head], start, inverse_tau, K, BLOCK) - t - s
            loss += gap(tl.exp(log_p), log_p, log_q, start, K, BLOCK)
        tops = tops + (t,)
        log_sums = log_sums + (s,)
        losses = losses + (loss * factor,)
    rates, value = head_rates(losses, epsilon, HEADS, ADAPTIVE, DETACH)
    for start in range(0, K, BLOCK):
        column = start + tl.arange(0, BLOCK)[None, :]
        stored = (column < K) & (row < batch)[:, None]
        p = tl.exp(tile(teacher, start, inverse_tau, K, BLOCK) - top - log_sum)
        for head in tl.static_range(HEADS):
            z = tile(heads[head] + place * strides[head], start, inverse_tau, K, BLOCK)
            slope = tl.exp(z - tops[head] - log_sums[head]) - p
            out = gradient + (head * tl.cast(batch, tl.int64) + place) * K + column
            tl.store(out, (slope * (rates[head] * unit)[:, None]).to(gradient.dtype.element_ty), mask=stored)
    _store_losses(last, shallow, losses[HEADS - 1], value, row, batch, loss_scale, EACH)


def divergence(
    heads: Sequence[Tensor],
    teacher: Tensor,
    tau: float,
    factor: float,
    unit: float,
    *,
    adaptive: bool = False,
    detach: bool = True,
    each: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """(last, shallow, gradient [L, B, K]) of logits [B, K]: means over the batch, or with `each` the last head's [B].

    A head's gradient is `unit` times its rate times softmax(z/τ) − softmax(z_T/τ).
    """
    batch, classes = teacher.shape
    teacher, heads = rows_of(teacher), [rows_of(x) for x in heads]
    shape = logits_tile(batch, classes)
    gradient = heads[0].new_empty(len(heads), batch, classes)
    size = batch if each else shape.programs
    last, shallow = (teacher.new_empty(size, dtype=torch.float32) for _ in range(2))
    alone = shape.programs == 1 and not each
    kernel = _narrow if classes <= WIDEST else _wide
    with device_of(teacher):
        kernel[(shape.programs,)](
            teacher, tuple(heads), gradient, last, shallow, batch, 1 / tau, factor, unit, 1 / batch if alone else 1.0,
            EPSILON, teacher.stride(0), row_strides(heads), classes, len(heads), adaptive, detach, each,
            shape.rows, shape.columns, num_warps=shape.warps,
        )  # fmt: skip
    if each:
        return last, shallow, gradient
    if alone:
        return last.view(()), shallow.view(()), gradient
    return *means(last, shallow, 1 / batch), gradient
