"""DSKD's loss-based weights (Luo, Chen, Wang; Equations 7 and 8)."""

import torch
from torch import Tensor

EPSILON = 1e-12
#: The switches as a schema of registered operators.
WEIGHTING = "bool adaptive, bool detach, bool per_sample"


def loss_based_weights(
    losses: Tensor, *, adaptive: bool = True, detach: bool = True, per_sample: bool = True
) -> Tensor:
    """Weights [L-1, B] of the shallow heads' per-sample losses [L-1, B]; they sum to 1 over the heads.

    `adaptive`: a head's share of the summed loss, otherwise 1/(L-1). `detach`: weights are constants to the gradient.
    `per_sample`: each sample has its own weights, otherwise the batch means give one set for all.
    """
    if not adaptive:
        return torch.full_like(losses, 1.0 / losses.shape[0])
    source = losses.detach() if detach and losses.requires_grad else losses
    if not per_sample:
        source = source.mean(dim=1, keepdim=True).expand_as(losses)
    return source / (source.sum(dim=0, keepdim=True) + EPSILON)
