"""MobileNetV2 of half width (Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018)."""

from torch import Tensor, nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench_architectures.layers import conv, conv_bn_relu, init_classifier, init_convolutions

EXPANSION = 6
LAST_WIDTH = 1280  # not halved
#: A stage is one or two groups of blocks: (expansion, channels, blocks, stride of the first). Channels are half of the
#: paper's, and the second group keeps the map's size.
STAGES = (
    ((1, 8, 1, 1), (EXPANSION, 12, 2, 1)),
    ((EXPANSION, 16, 3, 2),),
    ((EXPANSION, 32, 4, 2), (EXPANSION, 48, 3, 1)),
    ((EXPANSION, 80, 3, 2), (EXPANSION, 160, 1, 1)),
)


class InvertedResidual(nn.Module):
    """Widening 1×1, depthwise 3×3 and linear 1×1 convolution, around an identity where the sizes are equal."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int):
        super().__init__()
        width = in_channels * expansion
        self.conv = nn.Sequential(
            *conv_bn_relu(in_channels, width, 1),
            conv(width, width, 3, stride, groups=width),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            conv(width, out_channels, 1),
            nn.BatchNorm2d(out_channels),
        )
        self.residual = stride == 1 and in_channels == out_channels

    @property
    def last_norm(self) -> nn.Module:
        """The linear convolution's, behind which no ReLU comes."""
        return self.conv[-1]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H/s, W/s], of either sign."""
        return x + self.conv(x) if self.residual else self.conv(x)


def mobilenetv2(num_classes: int) -> StagedModel:
    """A stride-2 stem of 16 channels, four stages, and a neck of 1280 channels."""
    channels = 16
    stages = []
    for groups in STAGES:
        stage = nn.Sequential()
        for expansion, width, blocks, stride in groups:
            first = InvertedResidual(channels, width, stride, expansion)
            stage.append(
                nn.Sequential(first, *(InvertedResidual(width, width, 1, expansion) for _ in range(blocks - 1)))
            )
            channels = width
        stages.append(stage)
    head = Head(conv_bn_relu(channels, LAST_WIDTH, 1), nn.Linear(LAST_WIDTH, num_classes))
    model = StagedModel(conv_bn_relu(3, 16, 3, 2), stages, head)
    init_convolutions(model)
    init_classifier(model.head.classifier)
    return model


#: Stage and place in it of the zoo's seven groups.
PLACES = [f"{stage}.{place}" for stage, groups in enumerate(STAGES) for place in range(len(groups))]
ZOO_KEYS = (
    (r"^conv1\.", "stem."),
    *((rf"^blocks\.{n}\.", f"stages.{place}.") for n, place in enumerate(PLACES)),
    (r"^conv2\.", "head.neck."),
    (r"^classifier\.0\.", "head.classifier."),
)

ARCHITECTURES = [Architecture("MobileNetV2", "mobilenet", mobilenetv2, ZOO_KEYS)]
