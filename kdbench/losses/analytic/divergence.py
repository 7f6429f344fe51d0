"""The divergence of several heads from one teacher, with its slope."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from kdbench.losses.precision import accumulation_type

#: Bytes of the scaled logits of as many rows as a CPU takes at one time: operators go over them several times, and find
#: them in the caches. Measured (docs/performance.md): the operators' number costs more below, the memory above.
BLOCK_BYTES = 2**22


#: [L, B, K], or L of [B, K]: taken apart, they are the same.
Slopes = Tensor | list[Tensor]


def divergences(heads: Sequence[Tensor], teacher: Tensor, tau: float | Tensor) -> tuple[Tensor, Slopes]:
    """(D, S) of L heads' logits [B, K]: D [L, B] = kl_i(p_T^τ ‖ p_l^τ), S [L, B, K] = softmax(z_l/τ) − softmax(z_T/τ).

    S/τ is the gradient of D. `tau` is a number or a tensor [B].
    """
    dtype = accumulation_type(teacher, *heads)
    if torch.compiler.is_compiling():
        return _formula(heads, teacher, tau, dtype)
    batch, classes = teacher.shape
    rows = max(1, BLOCK_BYTES // ((len(heads) + 1) * classes * dtype.itemsize))
    if rows >= batch or teacher.device.type != "cpu":
        return _block(heads, teacher, tau, dtype)
    losses, slopes = (teacher.new_empty(len(heads), batch, *more, dtype=dtype) for more in ((), (classes,)))
    for first in range(0, batch, rows):
        part = slice(first, first + rows)
        scale = tau[part] if isinstance(tau, Tensor) else tau
        losses[:, part], slopes[:, part] = _block([x[part] for x in heads], teacher[part], scale, dtype)
    return losses, slopes


def _block(heads: Sequence[Tensor], teacher: Tensor, tau: float | Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The same at once. Heads and teacher go through each operator together: at the paper's size it is their number
    that costs. Beside S, which lies where the logarithms were, one more buffer of this size is held for a moment: the
    scaled logits', which serves the products p·log(p/q) as well.
    """
    buffer = torch.stack([x.to(dtype) for x in (*heads, teacher)])
    buffer.div_(tau.unsqueeze(1) if isinstance(tau, Tensor) else tau)
    logs = log_softmax(buffer, dim=2)
    of_heads, of_teacher = logs[:-1], logs[-1]
    gaps = torch.sub(of_teacher, of_heads, out=buffer[:-1])
    logs.exp_()
    return gaps.mul_(of_teacher).sum(dim=2), of_heads.sub_(of_teacher)


def _formula(
    heads: Sequence[Tensor], teacher: Tensor, tau: float | Tensor, dtype: torch.dtype
) -> tuple[Tensor, list[Tensor]]:
    """The same as it is written, which Inductor fuses; a buffer that operators share would hold it up."""
    scale = tau.unsqueeze(1) if isinstance(tau, Tensor) else tau
    of_teacher, *of_heads = (log_softmax(x.to(dtype) / scale, dim=1) for x in (teacher, *heads))
    p = of_teacher.exp()
    losses = torch.stack([(p * (of_teacher - log_q)).sum(dim=1) for log_q in of_heads])
    return losses, [log_q.exp() - p for log_q in of_heads]
