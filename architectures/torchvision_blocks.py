"""torchvision's blocks that can also stop before their last ReLU, and that say which norm comes before it."""

import torch
from torch import Tensor, nn
from torchvision.models import mobilenetv2, resnet, shufflenetv2

from kdbench.stage_end import EndsInReLU


class BasicBlock(resnet.BasicBlock, EndsInReLU):
    """Two 3×3 convolutions around a shortcut."""

    @property
    def last_norm(self) -> nn.Module:
        """The residual's."""
        return self.bn2

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], before the ReLU."""
        residual: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return residual + (self.downsample(x) if self.downsample else x)


class Bottleneck(resnet.Bottleneck, EndsInReLU):
    """1×1, 3×3 and 1×1 convolutions around a shortcut."""

    @property
    def last_norm(self) -> nn.Module:
        """The residual's."""
        return self.bn3

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], before the ReLU."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(residual)))))
        return residual + (self.downsample(x) if self.downsample else x)


class LinearBottleneck(mobilenetv2.InvertedResidual):
    """A block of MobileNetV2, which ends without a ReLU."""

    @property
    def last_norm(self) -> nn.Module:
        """The linear convolution's."""
        return self.conv[-1]


class ShuffleUnit(shufflenetv2.InvertedResidual, EndsInReLU):
    """A unit of ShuffleNetV2: each of its two halves ends in a ReLU, or comes from one."""

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], before the ReLU."""
        left, right = x.chunk(2, dim=1) if self.stride == 1 else (x, x)
        halves = self.branch1[:-1](left), self.branch2[:-1](right)
        return shufflenetv2.channel_shuffle(torch.cat(halves, dim=1), 2)
