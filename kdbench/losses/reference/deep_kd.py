"""`deep_kd` as Equations 1, 2 and 7 write it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdbench.losses.reference.kd import kd
from kdbench.losses.weighting import loss_based_weights


def deep_kd(
    teacher_logits: Tensor,
    shallow_logits: Sequence[Tensor],
    last_logits: Tensor,
    tau: float = 4.0,
    *,
    tau_squared: bool = True,
    adaptive: bool = True,
    detach: bool = True,
    per_sample: bool = True,
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.deep_kd`."""
    last = kd(last_logits, teacher_logits, tau, tau_squared=tau_squared)
    if not shallow_logits:
        return last, torch.zeros_like(last)
    losses = torch.stack(
        [kd(z, teacher_logits, tau, tau_squared=tau_squared, reduction="none") for z in shallow_logits]
    )
    weights = loss_based_weights(losses, adaptive=adaptive, detach=detach, per_sample=per_sample)
    return last, (weights * losses).sum(dim=0).mean()
