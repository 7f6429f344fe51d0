"""ResNets for small images (He et al.: Deep Residual Learning for Image Recognition, 2016, section 4.2)."""

from functools import partial

from torch import Tensor, nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench.stage_end import EndsInReLU
from kdbench_architectures.layers import conv, conv_bn, conv_bn_relu, init_convolutions, relu_, zoo_stages


class BasicBlock(EndsInReLU):
    """Two 3×3 convolutions around an identity; a 1×1 convolution replaces it where the sizes differ."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, stride=stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_bn(in_channels, out_channels, 1, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The residual's."""
        return self.bn2

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], before the ReLU."""
        residual: Tensor = self.bn2(self.conv2(relu_(self.bn1(self.conv1(x)))))
        return residual + self.shortcut(x)


def resnet(depth: int, widths: tuple[int, int, int, int], num_classes: int) -> StagedModel:
    """A 3×3 stem of `widths[0]` channels and three stages of (depth − 2)/6 blocks; stages 2 and 3 halve the map."""
    blocks = (depth - 2) // 6
    stages = [
        nn.Sequential(
            BasicBlock(before, width, stride),
            *(BasicBlock(width, width, 1) for _ in range(blocks - 1)),
        )
        for before, width, stride in zip(widths[:-1], widths[1:], (1, 2, 2), strict=True)
    ]
    model = StagedModel(conv_bn_relu(3, widths[0]), stages, Head(nn.Identity(), nn.Linear(widths[-1], num_classes)))
    init_convolutions(model)
    return model


ZOO_KEYS = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *zoo_stages(r"^layer#\.(\d+)\.downsample\.", r"stages.#.\1.shortcut.", 3),
    *zoo_stages(r"^layer#\.", "stages.#.", 3),
    (r"^fc\.", "head.classifier."),
)

ARCHITECTURES = [
    *(
        Architecture(f"resnet{depth}", "resnet", partial(resnet, depth, (16, 16, 32, 64)), ZOO_KEYS)
        for depth in (8, 14, 20, 32, 44, 56, 110)
    ),
    *(
        Architecture(f"resnet{depth}x4", "resnet", partial(resnet, depth, (32, 64, 128, 256)), ZOO_KEYS)
        for depth in (8, 32)
    ),
]
