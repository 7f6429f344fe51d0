"""torchvision's networks for ImageNet, under torchvision's names and initialised as there: a constructed one is taken
apart into stem, stages and head.

Its `resnet50` is called `resnet50_imagenet` here, since `ResNet50` has a stem for small images. torchvision is imported
by who builds one: that takes as long as PyTorch does.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from kdbench.model import Architecture, Head, StagedModel
from kdbench_architectures.layers import ZooKeys, zoo_stages


def resnet(bottleneck: bool, blocks: tuple[int, int, int, int], num_classes: int) -> StagedModel:
    """A stem of 64 channels that quarters the map, and four stages (He et al. 2016).

    The stride of a bottleneck is in its 3×3 convolution.
    """
    from torchvision.models.resnet import ResNet

    from kdbench_architectures.torchvision_blocks import BasicBlock, Bottleneck

    model = ResNet(Bottleneck if bottleneck else BasicBlock, list(blocks), num_classes=num_classes)
    stem = nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    stages = (model.layer1, model.layer2, model.layer3, model.layer4)
    return StagedModel(stem, stages, Head(nn.Identity(), model.fc))


RESNET_KEYS: ZooKeys = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *zoo_stages(r"^layer#\.", "stages.#.", 4),
    (r"^fc\.", "head.classifier."),
)

#: Layers of torchvision's MobileNetV2 by part. What comes before the map is quartered is the stem, as in MobileNetV1.
MOBILENET_V2 = {
    "stem": range(2),
    "stages.0": range(2, 4),
    "stages.1": range(4, 7),
    "stages.2": range(7, 14),
    "stages.3": range(14, 18),
    "head.neck": range(18, 19),
}


def mobilenet_v2(num_classes: int) -> StagedModel:
    """MobileNetV2 (Sandler et al. 2018): four stages and a neck of 1280 channels, without dropout before the
    classifier.
    """
    from torchvision.models.mobilenetv2 import MobileNetV2

    from kdbench_architectures.torchvision_blocks import LinearBottleneck

    model = MobileNetV2(num_classes, block=LinearBottleneck)
    stem, *stages, neck = (nn.Sequential(*(model.features[n] for n in part)) for part in MOBILENET_V2.values())
    return StagedModel(stem, stages, Head(neck, model.classifier[1]))


MOBILENET_V2_KEYS: ZooKeys = (
    *(
        (rf"^features\.{n}\.", f"{part}.{place}.")
        for part, layers in MOBILENET_V2.items()
        for place, n in enumerate(layers)
    ),
    (r"^classifier\.1\.", "head.classifier."),
)


def shufflenet_v2(widths: tuple[int, int, int, int, int], num_classes: int) -> StagedModel:
    """ShuffleNetV2 (Ma et al. 2018): a stem that quarters the map, three stages, and a neck; `widths` of all five."""
    from torchvision.models.shufflenetv2 import ShuffleNetV2

    from kdbench_architectures.torchvision_blocks import ShuffleUnit

    model = ShuffleNetV2([4, 8, 4], list(widths), num_classes, ShuffleUnit)
    stem = nn.Sequential(model.conv1, model.maxpool)
    return StagedModel(stem, (model.stage2, model.stage3, model.stage4), Head(model.conv5, model.fc))


SHUFFLENET_KEYS: ZooKeys = (
    (r"^conv1\.", "stem.0."),
    *((rf"^stage{n + 2}\.", f"stages.{n}.") for n in range(3)),
    (r"^conv5\.", "head.neck."),
    (r"^fc\.", "head.classifier."),
)

RESNETS = {
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50_imagenet": (True, (3, 4, 6, 3)),
    "resnet101": (True, (3, 4, 23, 3)),
}
SHUFFLENETS = {
    "shufflenet_v2_x0_5": (24, 48, 96, 192, 1024),
    "shufflenet_v2_x1_0": (24, 116, 232, 464, 1024),
    "shufflenet_v2_x1_5": (24, 176, 352, 704, 1024),
    "shufflenet_v2_x2_0": (24, 244, 488, 976, 2048),
}

ARCHITECTURES = [
    *(Architecture(name, "resnet", partial(resnet, *sizes), RESNET_KEYS) for name, sizes in RESNETS.items()),
    Architecture("mobilenet_v2", "mobilenet", mobilenet_v2, MOBILENET_V2_KEYS),
    *(
        Architecture(name, "shufflenet", partial(shufflenet_v2, widths), SHUFFLENET_KEYS)
        for name, widths in SHUFFLENETS.items()
    ),
]
