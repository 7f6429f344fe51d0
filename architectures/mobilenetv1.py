"""MobileNetV1 for ImageNet (Howard et al.: MobileNets: Efficient Convolutional Neural Networks, 2017)."""

from torch import nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench_architectures.layers import ZooKeys, conv, conv_bn_relu, init_classifier, init_convolutions

#: Blocks of each part as (channels, stride of the first); the map is as high as the image over 2, 4, 8, 16 and 32.
STEM = ((64, 1),)
STAGES = (
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), *[(512, 1)] * 5),
    ((1024, 2), (1024, 1)),
)


def separable(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """A depthwise 3×3 and a 1×1 convolution, each with BN and ReLU."""
    depthwise = conv(in_channels, in_channels, 3, stride, groups=in_channels)
    return nn.Sequential(
        depthwise, nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True), *conv_bn_relu(in_channels, out_channels, 1)
    )


def mobilenetv1(num_classes: int) -> StagedModel:
    """A stem of 64 channels that halves the map, and four stages, each of which halves it."""
    channels, parts = 32, []
    for blocks in (STEM, *STAGES):
        part = nn.Sequential()
        for width, stride in blocks:
            part.append(separable(channels, width, stride))
            channels = width
        parts.append(part)
    stem, *stages = parts
    stem.insert(0, conv_bn_relu(3, 32, 3, 2))
    model = StagedModel(stem, stages, Head(nn.Identity(), nn.Linear(channels, num_classes)))
    init_convolutions(model)
    init_classifier(model.head.classifier)
    return model


def _zoo_keys() -> ZooKeys:
    """Those of mdistiller's network for ImageNet, whose blocks are numbered through."""
    places = [
        "stem.0",
        "stem.1",
        *(f"stages.{n}.{place}" for n, blocks in enumerate(STAGES) for place in range(len(blocks))),
    ]
    return (
        *((rf"^model\.{n}\.", f"{place}.") for n, place in enumerate(places)),
        (r"^fc\.", "head.classifier."),
    )


ARCHITECTURES = [Architecture("mobilenetv1", "mobilenet", mobilenetv1, _zoo_keys())]
