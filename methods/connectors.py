"""Modules that bring a student's map to the channels of a teacher's."""

from torch import nn


def connector(channels: int, target_channels: int) -> nn.Sequential:
    """1×1 (C → C_T) - BN, no bias; size unchanged. Weights are drawn from N(0, 2/C_T), as OFD and SRRL have them."""
    convolution = nn.Conv2d(channels, target_channels, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(target_channels))
