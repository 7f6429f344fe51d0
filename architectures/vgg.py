"""VGG networks with batch norm and one linear layer (Simonyan, Zisserman: Very Deep Convolutional Networks, 2015)."""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from kdbench.model import Architecture, Head, StagedModel
from kdbench_architectures.layers import init_classifier, init_convolutions, zoo_stages

WIDTHS = (64, 128, 256, 512, 512)


class PoolLargeMap(nn.Module):
    """2×2 max pooling, but of maps above 4×4 only: 32-pixel and 64-pixel images both reach the last block as 4×4."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H/2, W/2], or `x` itself."""
        return F.max_pool2d(x, 2) if min(x.shape[-2:]) > 4 else x


def block(in_channels: int, out_channels: int, layers: int) -> list[nn.Module]:
    """`layers` times 3×3 convolution (with bias), BN and ReLU."""
    modules: list[nn.Module] = []
    for channels in (in_channels, *[out_channels] * (layers - 1)):
        convolution = nn.Conv2d(channels, out_channels, 3, padding=1)
        modules += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return modules


def vgg(layers: tuple[int, int, int, int, int], num_classes: int, *, first_is_stage: bool = False) -> StagedModel:
    """Five blocks of `layers` convolutions: the first is the stem, each other, with the pooling before it, a stage.

    `first_is_stage` makes the first block a stage as well, so that auxiliary classifiers stand behind it, too.
    """
    pools = (nn.MaxPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(2), PoolLargeMap())
    stages: list[nn.Module] = [
        nn.Sequential(pool, nn.Sequential(*block(before, width, count)))
        for pool, before, width, count in zip(pools, WIDTHS[:-1], WIDTHS[1:], layers[1:], strict=True)
    ]
    stem: nn.Module = nn.Sequential(*block(3, WIDTHS[0], layers[0]))
    if first_is_stage:
        stem, stages = nn.Identity(), [stem, *stages]
    model = StagedModel(stem, stages, Head(nn.Identity(), nn.Linear(WIDTHS[-1], num_classes)))
    init_convolutions(model)
    init_classifier(model.head.classifier)
    return model


ZOO_KEYS = (
    (r"^block0\.", "stem."),
    *zoo_stages(r"^block#\.", "stages.#.1.", 4),
    (r"^classifier\.", "head.classifier."),
)

FIVE_STAGES_ZOO_KEYS = (
    (r"^block0\.", "stages.0."),
    *((rf"^block{n}\.", f"stages.{n}.1.") for n in range(1, 5)),
    (r"^classifier\.", "head.classifier."),
)
LAYERS = {
    "vgg8": (1, 1, 1, 1, 1),
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}

ARCHITECTURES = [
    *(Architecture(name, "vgg", partial(vgg, layers), ZOO_KEYS) for name, layers in LAYERS.items()),
    # vgg8 by the other reading of "stage": five classifiers in deep supervision instead of four.
    Architecture("vgg8_5stages", "vgg", partial(vgg, LAYERS["vgg8"], first_is_stage=True), FIVE_STAGES_ZOO_KEYS),
]
