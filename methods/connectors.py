"""What methods share that compare connected maps stage by stage."""

import torch
from torch import Tensor, nn


def connector(channels: int, target_channels: int) -> nn.Sequential:
    """1×1 (C → C_T) - BN, no bias; size unchanged. Weights are drawn from N(0, 2/C_T), as OFD and SRRL have them."""
    convolution = nn.Conv2d(channels, target_channels, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(target_channels))


def halving_sum(distances: list[Tensor]) -> Tensor:
    """Σ_l 2^(l−L)·d_l of scalars, shallow to deep: the deepest counts whole, each other half of the next."""
    return torch.stack([distance / 2**ahead for ahead, distance in enumerate(reversed(distances))]).sum()
