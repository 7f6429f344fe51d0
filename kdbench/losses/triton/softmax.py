"""Softmax statistics inside kernels."""

# Kernels: constants in capitals and tuples grown by `+`, as Triton's language has them; no types, as it has none.
# ruff: noqa: N803
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call, import-untyped, assignment"

import triton
import triton.language as tl


@triton.jit
def tile(row, start, scale, K: tl.constexpr, BLOCK: tl.constexpr):
    """Columns [start, start + BLOCK) of rows of logits in float32, times `scale`; −inf beyond the last."""
    column = start + tl.arange(0, BLOCK)[None, :]
    return tl.load(row + column, mask=column < K, other=float("-inf")).to(tl.float32) * scale


@triton.jit
def softmax(x):
    """(log softmax, softmax) of whole rows."""
    shifted = x - tl.max(x, axis=1)[:, None]
    exponential = tl.exp(shifted)
    total = tl.sum(exponential, axis=1)[:, None]
    return shifted - tl.log(total), exponential * (1.0 / total)


@triton.jit
def partition(row, scale, K: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """(maximum, logarithm of the sum of exp(x − maximum)) of rows read block by block, each [ROWS, 1].

    Kept apart, since their sum loses the second where the first is large.
    """
    top = tl.full([ROWS], -3.0e38, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(0, K, BLOCK):
        x = tile(row, start, scale, K, BLOCK)
        higher = tl.maximum(top, tl.max(x, axis=1))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(x - higher[:, None]), axis=1)
        top = higher
    return top[:, None], tl.log(total)[:, None]


@triton.jit
def gap(p, log_p, log_q, start, K: tl.constexpr, BLOCK: tl.constexpr):
    """Σ_k p_k·(log p_k − log q_k) over the columns of a tile, [ROWS]."""
    inside = start + tl.arange(0, BLOCK)[None, :] < K
    return tl.sum(tl.where(inside, p * (log_p - log_q), 0.0), axis=1)
