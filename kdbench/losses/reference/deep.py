"""What the two deep losses share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdbench.losses.weighting import loss_based_weights


def last_and_shallow(losses: Sequence[Tensor], adaptive: bool, detach: bool, per_sample: bool) -> tuple[Tensor, Tensor]:
    """mean_i D_L,i and mean_i Σ_l W_l,i·D_l,i of the heads' per-sample losses [B], the last head's last."""
    *shallow, last = losses
    if not shallow:
        return last.mean(), torch.zeros_like(last[0])
    stacked = torch.stack(shallow)
    weights = loss_based_weights(stacked, adaptive=adaptive, detach=detach, per_sample=per_sample)
    return last.mean(), (weights * stacked).sum(dim=0).mean()
