"""Wide residual networks (Zagoruyko, Komodakis: Wide Residual Networks, 2016), without dropout."""

from functools import partial

from torch import Tensor, nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench_architectures.layers import conv, init_convolutions, relu_, zoo_stages


class PreActivationBlock(nn.Module):
    """BN-ReLU-convolution twice; the identity bypasses all of it, a 1×1 shortcut only what follows the first ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(in_channels, out_channels, stride=stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels)
        self.shortcut = None if in_channels == out_channels else conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s]: the raw sum, of either sign."""
        activated = relu_(self.bn1(x))
        bypass = x if self.shortcut is None else self.shortcut(activated)
        return bypass + self.conv2(relu_(self.bn2(self.conv1(activated))))


def wrn(depth: int, widening: int, num_classes: int) -> StagedModel:
    """Three stages of (depth − 4)/6 blocks, 16, 32 and 64 × `widening` wide; the last BN and ReLU are the neck."""
    widths = (16, 16 * widening, 32 * widening, 64 * widening)
    blocks = (depth - 4) // 6
    stages = [
        nn.Sequential(
            PreActivationBlock(before, width, stride),
            *(PreActivationBlock(width, width, 1) for _ in range(blocks - 1)),
        )
        for before, width, stride in zip(widths[:-1], widths[1:], (1, 2, 2), strict=True)
    ]
    neck = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
    model = StagedModel(conv(3, 16), stages, Head(neck, nn.Linear(widths[-1], num_classes)), norms_behind)
    init_convolutions(model)
    nn.init.zeros_(model.head.classifier.bias)
    return model


def norms_behind(model: StagedModel) -> list[nn.Module]:
    """The batch norm that each stage's end passes next, before a ReLU: the next stage's first, then the neck's."""
    return [*(stage[0].bn1 for stage in model.stages[1:]), model.head.neck[0]]


ZOO_KEYS = (
    (r"^conv1\.", "stem."),
    *zoo_stages(r"^block#\.layer\.(\d+)\.convShortcut\.", r"stages.#.\1.shortcut.", 3),
    *zoo_stages(r"^block#\.layer\.", "stages.#.", 3),
    (r"^bn1\.", "head.neck.0."),
    (r"^fc\.", "head.classifier."),
)

ARCHITECTURES = [
    Architecture(f"wrn_{depth}_{widening}", "wrn", partial(wrn, depth, widening), ZOO_KEYS)
    for depth in (16, 40)
    for widening in (1, 2)
]
