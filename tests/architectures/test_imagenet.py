"""The networks for ImageNet against torchvision's, through the importer of its files."""

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdbench.store.zoo import from_zoo
from kdbench_architectures import NETWORKS

ARCHITECTURES = {architecture.name: architecture for architecture in NETWORKS}
TORCHVISION = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50_imagenet": "resnet50",
    "resnet101": "resnet101",
    "mobilenet_v2": "mobilenet_v2",
    "shufflenet_v2_x0_5": "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0": "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5": "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0": "shufflenet_v2_x2_0",
}


def theirs(name: str) -> nn.Module:
    """torchvision's network with random weights, and batch norms as training leaves them."""
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(TORCHVISION[name], num_classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5)
    return model.eval()


@pytest.mark.parametrize("name", TORCHVISION)
@torch.no_grad()
def test_logits_are_torchvisions_with_the_same_weights(name):
    model, ours = theirs(name), ARCHITECTURES[name].build(10).eval()
    read = from_zoo(dict(model.state_dict()), ARCHITECTURES[name], 10, "torchvision's")
    ours.load_state_dict(read.tensors)
    images = torch.randn(2, 3, 75, 96)
    torch.testing.assert_close(ours(images), model(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x0_5"])
def test_initial_weights_are_drawn_as_torchvision_draws_them(name):
    torch.manual_seed(3)
    ours = ARCHITECTURES[name].build(10)
    torch.manual_seed(3)
    model = torchvision.models.get_model(TORCHVISION[name], num_classes=10)
    read = from_zoo(dict(model.state_dict()), ARCHITECTURES[name], 10, "torchvision's").tensors
    assert read.keys() == ours.state_dict().keys()
    assert all(torch.equal(tensor, read[key]) for key, tensor in ours.state_dict().items())


@pytest.mark.parametrize(
    ("name", "stages", "embedding"),
    [
        ("resnet34", [(64, 56), (128, 28), (256, 14), (512, 7)], 512),
        ("resnet50_imagenet", [(256, 56), (512, 28), (1024, 14), (2048, 7)], 2048),
        ("mobilenetv1", [(128, 56), (256, 28), (512, 14), (1024, 7)], 1024),
        ("mobilenet_v2", [(24, 56), (32, 28), (96, 14), (320, 7)], 1280),
        ("shufflenet_v2_x1_0", [(116, 28), (232, 14), (464, 7)], 1024),
    ],
)
def test_stages_end_where_the_map_gets_smaller_next(name, stages, embedding):
    shapes = ARCHITECTURES[name].shapes(1000, 224)
    assert shapes.stages == tuple((channels, size, size) for channels, size in stages)
    assert shapes.embedding == embedding


# Howard et al. 2017, Table 8: 4.2 million parameters and 569 million multiply-adds.
def test_mobilenetv1_is_as_large_as_published():
    with torch.device("meta"):
        model = ARCHITECTURES["mobilenetv1"].build(1000)
    assert sum(p.numel() for p in model.parameters()) == 4_231_976
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 224, 224, device="meta"))
    assert counter.get_total_flops() / 2e6 == pytest.approx(569, abs=1)


def test_mobilenetv1_reads_mdistillers_names():
    architecture = ARCHITECTURES["mobilenetv1"]
    ours = architecture.build(10).state_dict()
    # Its network is a sequence of 14 blocks under `model`, and `fc`.
    blocks = [f"stem.{n}" for n in range(2)]
    blocks += [f"stages.{stage}.{n}" for stage, count in enumerate((2, 2, 6, 2)) for n in range(count)]
    named = {"fc.weight": ours["head.classifier.weight"], "fc.bias": ours["head.classifier.bias"]}
    for number, block in enumerate(blocks):
        named |= {
            f"module.model.{number}{key.removeprefix(block)}": tensor
            for key, tensor in ours.items()
            if key.startswith(f"{block}.")
        }
    named = {key if key.startswith("module.") else f"module.{key}": tensor for key, tensor in named.items()}
    read = from_zoo(named, architecture, 10, "mdistiller's").tensors
    assert read.keys() == ours.keys()
    assert all(tensor is ours[key] for key, tensor in read.items())
