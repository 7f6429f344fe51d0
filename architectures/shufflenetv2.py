"""ShuffleNet V2 1× (Ma et al.: ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, 2018)."""

import torch
from torch import Tensor, nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench.stage_end import EndsInReLU
from kdbench_architectures.layers import conv, conv_bn_relu, relu_, zoo_stages


def interleave(left: Tensor, right: Tensor) -> Tensor:
    """Both halves joined with their channels in turn: concatenation and a channel shuffle of two groups in one copy."""
    return torch.stack((left, right), dim=2).flatten(1, 2)


class Unit(EndsInReLU):
    """Half of the channels pass, the others go through 1×1, depthwise 3×3 and 1×1 convolution.

    Only the latter pass the last ReLU: the former come out of one, which a second leaves as they are.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.conv1 = conv(half, half, 1)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = conv(half, half, 3, groups=half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(half, half, 1)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same size, after the ReLU."""
        left, right = self._halves(x)
        return interleave(left, relu_(right))

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same size, before the ReLU."""
        return interleave(*self._halves(x))

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x.chunk(2, dim=1)
        right = relu_(self.bn1(self.conv1(right)))
        right = self.bn2(self.conv2(right))
        return left, self.bn3(self.conv3(right))


class DownUnit(nn.Module):
    """All channels go both ways, each of which halves the map and gives half of the output channels."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        half = out_channels // 2
        self.conv1 = conv(in_channels, in_channels, 3, 2, groups=in_channels)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = conv(in_channels, half, 1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = conv(in_channels, half, 1)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = conv(half, half, 3, 2, groups=half)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = conv(half, half, 1)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/2, W/2], after the ReLU."""
        left = self.bn1(self.conv1(x))
        left = relu_(self.bn2(self.conv2(left)))
        right = relu_(self.bn3(self.conv3(x)))
        right = self.bn4(self.conv4(right))
        return interleave(left, relu_(self.bn5(self.conv5(right))))


def shufflenet_v2(num_classes: int) -> StagedModel:
    """A 1×1 stem of 24 channels without pooling, stages of 4, 8 and 4 units, and a neck of 1024 channels."""
    widths = (24, 116, 232, 464)
    stages = [
        nn.Sequential(DownUnit(before, width), *(Unit(width) for _ in range(units - 1)))
        for before, width, units in zip(widths[:-1], widths[1:], (4, 8, 4), strict=True)
    ]
    head = Head(conv_bn_relu(widths[-1], 1024, 1), nn.Linear(1024, num_classes))
    return StagedModel(conv_bn_relu(3, 24, 1), stages, head)


ZOO_KEYS = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *zoo_stages(r"^layer#\.", "stages.#.", 3),
    (r"^conv2\.", "head.neck.0."),
    (r"^bn2\.", "head.neck.1."),
    (r"^linear\.", "head.classifier."),
)

ARCHITECTURES = [Architecture("ShuffleV2", "shufflenet", shufflenet_v2, ZOO_KEYS)]
