"""`ce_kd`: both losses and their summed gradient in one launch."""

# Kernels: constants in capitals and tuples grown by `+`, as Triton's language has them; no types, as it has none.
# ruff: noqa: N803, RUF005
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call, import-untyped, assignment"

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import one_hot

from kdbench.losses.fused import FusedLoss, Gradients, Saved
from kdbench.losses.triton.blocks import device_of, logits_tile, rows_of, turns
from kdbench.losses.triton.scaling import means
from kdbench.losses.triton.softmax import gap, partition, tile


@triton.jit
def _store_gradient(
    student, teacher, gradient, label, row, batch, statistics, of_ce, of_kd, inverse_tau,
    K: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """of_ce·(softmax(z) − onehot(y)) + of_kd·(softmax(z/τ) − softmax(z_T/τ)), block by block."""
    top, log_sum, soft_top, soft_log_sum, teacher_top, teacher_log_sum = statistics
    for start in range(0, K, BLOCK):
        column = start + tl.arange(0, BLOCK)[None, :]
        z = tile(student, start, 1.0, K, BLOCK)
        t = tile(teacher, start, inverse_tau, K, BLOCK)
        error = tl.exp(z - top - log_sum) - tl.where(column == label, 1.0, 0.0)
        slope = tl.exp(z * inverse_tau - soft_top - soft_log_sum) - tl.exp(t - teacher_top - teacher_log_sum)
        x = of_ce * error + of_kd * slope
        stored = (column < K) & (row < batch)[:, None]
        tl.store(gradient + column, x.to(gradient.dtype.element_ty), mask=stored)


@triton.jit
def _make(
    student, teacher, labels, gradient, statistics, ce, kd,  # [B, K], [B, K], [B], [B, K], [6, B], [programs] each
    batch, inverse_tau, factor, of_ce, of_kd, loss_scale,
    student_stride: tl.constexpr, teacher_stride: tl.constexpr,
    K: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place = tl.minimum(row, batch - 1).to(tl.int64)[:, None]
    student += place * student_stride
    teacher += place * teacher_stride
    label = tl.load(labels + place)
    top, log_sum = partition(student, 1.0, K, ROWS, BLOCK)
    soft_top, soft_log_sum = partition(student, inverse_tau, K, ROWS, BLOCK)
    teacher_top, teacher_log_sum = partition(teacher, inverse_tau, K, ROWS, BLOCK)
    kept = (top, log_sum, soft_top, soft_log_sum, teacher_top, teacher_log_sum)
    for number in tl.static_range(6):
        tl.store(statistics + number * batch + place, kept[number])
    divergence = tl.zeros([ROWS], tl.float32)
    for start in range(0, K, BLOCK):
        log_p = tile(teacher, start, inverse_tau, K, BLOCK) - teacher_top - teacher_log_sum
        log_q = tile(student, start, inverse_tau, K, BLOCK) - soft_top - soft_log_sum
        divergence += gap(tl.exp(log_p), log_p, log_q, start, K, BLOCK)
    surprise = top + log_sum - tl.load(student + label).to(tl.float32)
    inside = row < batch
    tl.store(ce + tl.program_id(0), tl.sum(tl.where(inside[:, None], surprise, 0.0)) * loss_scale)
    tl.store(kd + tl.program_id(0), tl.sum(tl.where(inside, divergence * factor, 0.0)) * loss_scale)
    _store_gradient(
        student, teacher, gradient + place * K, label, row, batch, kept, of_ce, of_kd, inverse_tau, K, BLOCK
    )


@triton.jit
def _remake(
    student, teacher, labels, gradient, statistics, ce, kd,  # as above, but ce and kd: upstream gradients
    batch, inverse_tau, of_ce, of_kd,
    student_stride: tl.constexpr, teacher_stride: tl.constexpr,
    TURNS: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient for the true upstream gradients; nothing where these are the 1 that the forward pass supposed."""
    by_ce = tl.load(ce)
    by_kd = tl.load(kd)
    if (by_ce != 1.0) | (by_kd != 1.0):
        for turn in range(TURNS):
            row = (tl.program_id(0) + turn * tl.num_programs(0)) * ROWS + tl.arange(0, ROWS)
            place = tl.minimum(row, batch - 1).to(tl.int64)[:, None]
            kept = ()
            for number in tl.static_range(6):
                kept = kept + (tl.load(statistics + number * batch + place),)
            _store_gradient(
                student + place * student_stride, teacher + place * teacher_stride, gradient + place * K,
                tl.load(labels + place), row, batch, kept, by_ce * of_ce, by_kd * of_kd, inverse_tau, K, BLOCK,
            )  # fmt: skip


def _rates(tau: float, tau_squared: bool, batch: int) -> tuple[float, float]:
    """What the two parts of the gradient are multiplied by where the upstream gradients are 1."""
    return 1 / batch, (tau if tau_squared else 1 / tau) / batch


def _forward(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Tensor, ...]:
    student, teacher, labels = rows_of(heads[0]), rows_of(constants[0]), constants[1].contiguous()
    batch, classes = student.shape
    shape = logits_tile(batch, classes)
    gradient = student.new_empty(batch, classes)
    statistics = student.new_empty(6, batch, dtype=torch.float32)
    ce, kd = (statistics.new_empty(shape.programs) for _ in range(2))
    alone = shape.programs == 1
    with device_of(student):
        _make[(shape.programs,)](
            student, teacher, labels, gradient, statistics, ce, kd, batch, 1 / tau, tau**2 if tau_squared else 1.0,
            *_rates(tau, tau_squared, batch), 1 / batch if alone else 1.0, student.stride(0), teacher.stride(0),
            classes, shape.rows, shape.columns, num_warps=shape.warps,
        )  # fmt: skip
    losses = (ce.view(()), kd.view(())) if alone else means(ce, kd, 1 / batch)
    return *losses, gradient, statistics


def _fake(heads: Sequence[Tensor], constants: Sequence[Tensor], tau: float, tau_squared: bool) -> tuple[Tensor, ...]:
    shape = heads[0].shape
    empty = heads[0].new_empty((), dtype=torch.float32).new_empty
    return empty(()), empty(()), heads[0].new_empty(shape), empty(6, shape[0])


def _backward(saved: Saved, *, in_place: bool) -> Gradients:
    kept, upstream, inputs, options = saved
    (gradient, statistics), (of_ce, of_kd), (head,), (tau, tau_squared) = kept, upstream, inputs.heads, options
    used = [g for g in (of_ce, of_kd) if g is not None]
    if not used:
        return [None]
    of_ce, of_kd = (torch.zeros_like(used[0]) if g is None else g for g in (of_ce, of_kd))
    student, teacher, labels = rows_of(head), rows_of(inputs.constants[0]), inputs.constants[1].contiguous()
    batch, classes = student.shape
    rates = _rates(tau, tau_squared, batch)
    if not in_place:
        z, t = student.float(), teacher.float()
        top, log_sum, soft_top, soft_log_sum, teacher_top, teacher_log_sum = statistics.unsqueeze(2).unbind(0)
        error = (z - top - log_sum).exp() - one_hot(labels, classes)
        slope = (z / tau - soft_top - soft_log_sum).exp() - (t / tau - teacher_top - teacher_log_sum).exp()
        return [(of_ce * rates[0] * error + of_kd * rates[1] * slope).to(head.dtype)]
    shape = logits_tile(batch, classes)
    programs, each = turns(shape.programs)
    with device_of(student):
        _remake[(programs,)](
            student, teacher, labels, gradient, statistics, of_ce, of_kd, batch, 1 / tau, *rates, student.stride(0),
            teacher.stride(0), each, classes, shape.rows, shape.columns, num_warps=shape.warps,
        )  # fmt: skip
    return [gradient]


#: See `kdbench.losses.ce_kd`.
ce_kd = FusedLoss("triton_ce_kd", "float tau, bool tau_squared", 2, "Tensor, Tensor", _forward, _fake, _backward)
