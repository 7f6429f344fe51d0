"""The divergence of several heads from one teacher, with its slope."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from kdbench.losses.analytic.blocks import blocks
from kdbench.losses.analytic.scaling import headroom
from kdbench.losses.precision import accumulation_type

#: [L, B, K], or L of [B, K]: taken apart, they are the same.
Slopes = Tensor | list[Tensor]


def divergences(heads: Sequence[Tensor], teacher: Tensor, tau: float | Tensor) -> tuple[Tensor, Slopes]:
    """(D, S) of L heads' logits [B, K]: D [L, B] = kl_i(p_T^τ ‖ p_l^τ), S [L, B, K] = softmax(z_l/τ) − softmax(z_T/τ).

    S/τ is the gradient of D. S has the type `kept_type` of the heads and is multiplied by the `headroom` of this type.
    `tau` is a number or a tensor [B].
    """
    dtype, kept = accumulation_type(teacher, *heads), kept_type(heads)
    room = headroom(kept)
    if torch.compiler.is_compiling():
        losses, slopes = _formula(heads, teacher, tau, dtype)
        return losses, [(x * room).to(kept) for x in slopes]
    batch, classes = teacher.shape
    parts = blocks(batch, (len(heads) + 1) * classes * dtype.itemsize, teacher.device)
    if len(parts) == 1 and kept == dtype:
        return _block(heads, teacher, tau, dtype)
    losses = teacher.new_empty(len(heads), batch, dtype=dtype)
    kept_slopes = teacher.new_empty(len(heads), batch, classes, dtype=kept)
    for part in parts:
        scale = tau[part] if isinstance(tau, Tensor) else tau
        losses[:, part], block = _block([x[part] for x in heads], teacher[part], scale, dtype)
        kept_slopes[:, part] = block if room == 1 else block.mul_(room)
        del block  # before the next one is made
    return losses, kept_slopes


def kept_type(heads: Sequence[Tensor]) -> torch.dtype:
    """The type that slopes wait in for backward: that of the heads, whose gradients they become, where it is one."""
    return heads[0].dtype if len({x.dtype for x in heads}) == 1 else accumulation_type(*heads)


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
