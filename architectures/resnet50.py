"""ResNet-50 with a stem for small images (He et al.: Deep Residual Learning for Image Recognition, 2016)."""

from torch import Tensor, nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench.stage_end import EndsInReLU
from kdbench_architectures.layers import conv, conv_bn, conv_bn_relu, init_convolutions, relu_, zoo_stages


class Bottleneck(EndsInReLU):
    """1×1, 3×3 and 1×1 convolutions around a shortcut; the middle one is a quarter as wide as the output."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        width = out_channels // 4
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_bn(in_channels, out_channels, 1, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The residual's."""
        return self.bn3

    def preactivation(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], before the ReLU."""
        residual = relu_(self.bn1(self.conv1(x)))
        residual = relu_(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return residual + self.shortcut(x)


def resnet50(num_classes: int) -> StagedModel:
    """A 3×3 stem of 64 channels without pooling and stages of 3, 4, 6 and 3 blocks; all but the first halve the map."""
    widths = (64, 256, 512, 1024, 2048)
    stages = [
        nn.Sequential(
            Bottleneck(before, width, stride),
            *(Bottleneck(width, width, 1) for _ in range(blocks - 1)),
        )
        for before, width, stride, blocks in zip(widths[:-1], widths[1:], (1, 2, 2, 2), (3, 4, 6, 3), strict=True)
    ]
    model = StagedModel(conv_bn_relu(3, 64), stages, Head(nn.Identity(), nn.Linear(2048, num_classes)))
    init_convolutions(model)
    return model


ZOO_KEYS = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *zoo_stages(r"^layer#\.", "stages.#.", 4),
    (r"^linear\.", "head.classifier."),
)

ARCHITECTURES = [Architecture("ResNet50", "resnet", resnet50, ZOO_KEYS)]
