"""Networks of a few layers, for tests of what the network does not matter to; as a file it is a plugin of two."""

from itertools import pairwise
from pathlib import Path

from torch import nn

import kdbench
from kdbench.model import Architecture, Head, StagedModel

#: The plugin.
FILE = Path(__file__)


def tiny_architecture(
    name: str, channels: tuple[int, ...], strides: tuple[int, ...], family: str = "tiny", depth: int = 1
) -> Architecture:
    """Stages of the given widths and strides, each `depth` times Conv-BN-ReLU, behind a 1×1 stem; its neck is a 1×1
    convolution.
    """

    def block(before: int, width: int, stride: int) -> tuple[nn.Module, ...]:
        return nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()

    def builder(num_classes: int) -> StagedModel:
        stages = [
            nn.Sequential(*block(before, width, stride), *(m for _ in range(1, depth) for m in block(width, width, 1)))
            for (before, width), stride in zip(pairwise((4, *channels)), strides, strict=True)
        ]
        neck = nn.Sequential(nn.Conv2d(channels[-1], channels[-1] + 2, 1, bias=False), nn.ReLU())
        return StagedModel(nn.Conv2d(3, 4, 1), stages, Head(neck, nn.Linear(channels[-1] + 2, num_classes)))

    return Architecture(name, family, builder)


@kdbench.hookimpl
def kdbench_architectures():
    depths = {"deeper": 2, "shallower": 1}
    return [tiny_architecture(name, (4, 6, 8), (1, 2, 2), depth=depth) for name, depth in depths.items()]
