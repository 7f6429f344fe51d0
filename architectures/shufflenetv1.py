"""ShuffleNet of three groups (Zhang et al.: ShuffleNet: An Extremely Efficient Convolutional Neural Network, 2018)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.model import Architecture, Head, StagedModel
from kdbench.stage_end import EndsInReLU
from kdbench_architectures.layers import conv, conv_bn_relu, relu_, zoo_stages

GROUPS = 3


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Deals the channels of `groups` equal blocks out in turn, so that the next grouped convolution sees all blocks."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class Unit(EndsInReLU):
    """Grouped 1×1, depthwise 3×3 and grouped 1×1 convolution; a strided unit appends its result to its pooled input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, groups_in: int):
        super().__init__()
        computed = out_channels - in_channels if stride == 2 else out_channels
        width = computed // 4
        self.stride = stride
        self.groups_in = groups_in
        self.conv1 = conv(in_channels, width, 1, groups=groups_in)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride, groups=width)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, computed, 1, groups=GROUPS)
        self.bn3 = nn.BatchNorm2d(computed)

    @property
    def last_norm(self) -> nn.BatchNorm2d | None:
        """The computed channels', which are all but in a strided unit."""
        return self.bn3 if self.stride == 1 else None

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], before the ReLU."""
        y = relu_(self.bn1(self.conv1(x)))
        y = relu_(self.bn2(self.conv2(shuffle(y, self.groups_in))))
        y = self.bn3(self.conv3(y))
        if self.stride == 1:
            return y + x
        return torch.cat([y, F.avg_pool2d(x, 3, 2, padding=1)], dim=1)


def shufflenet_v1(num_classes: int) -> StagedModel:
    """A 1×1 stem of 24 channels without pooling and stages of 4, 8 and 4 units, each of which halves the map."""
    widths = (24, 240, 480, 960)
    stages = [
        # The stem is too narrow to be split into groups.
        nn.Sequential(
            Unit(before, width, 2, 1 if before == widths[0] else GROUPS),
            *(Unit(width, width, 1, GROUPS) for _ in range(units - 1)),
        )
        for before, width, units in zip(widths[:-1], widths[1:], (4, 8, 4), strict=True)
    ]
    return StagedModel(conv_bn_relu(3, 24, 1), stages, Head(nn.Identity(), nn.Linear(widths[-1], num_classes)))


ZOO_KEYS = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *zoo_stages(r"^layer#\.", "stages.#.", 3),
    (r"^linear\.", "head.classifier."),
)

ARCHITECTURES = [Architecture("ShuffleV1", "shufflenet", shufflenet_v1, ZOO_KEYS)]
