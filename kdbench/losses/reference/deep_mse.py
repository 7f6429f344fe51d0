"""`deep_mse` as Equations 4, 5 and 8 write it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdbench.losses.precision import accumulation
from kdbench.losses.weighting import loss_based_weights


def deep_mse(
    teacher_map: Tensor,
    shallow_maps: Sequence[Tensor],
    last_map: Tensor,
    *,
    adaptive: bool = True,
    detach: bool = True,
    per_sample: bool = True,
) -> tuple[Tensor, Tensor]:
    """See `kdbench.losses.deep_mse`."""
    target = accumulation(teacher_map)
    last = _errors(last_map, target).mean()
    if not shallow_maps:
        return last, torch.zeros_like(last)
    losses = torch.stack([_errors(f, target) for f in shallow_maps])
    weights = loss_based_weights(losses, adaptive=adaptive, detach=detach, per_sample=per_sample)
    return last, (weights * losses).sum(dim=0).mean()


def _errors(projected: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each sample, [B]."""
    return (accumulation(projected) - target).square().flatten(1).mean(dim=1)
