"""Sizes, branches, initialisation and taps of the built-in networks."""

import copy
import functools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdbench.meta import pass_norms_by
from kdbench.model import FEATURES
from kdbench_architectures import NETWORKS

ARCHITECTURES = {architecture.name: architecture for architecture in NETWORKS}
#: The smallest network of each family, and of each kind of block.
SMALL = [
    *("resnet8", "ResNet50", "wrn_16_1", "wrn_16_2", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2"),
    *("resnet18", "mobilenetv1", "mobilenet_v2", "shufflenet_v2_x0_5"),
]
#: Networks whose stages end in a linear convolution.
LINEAR = ("MobileNetV2", "mobilenet_v2")


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def on_meta(name: str, num_classes: int = 100):
    with torch.device("meta"):
        return ARCHITECTURES[name].build(num_classes)


def drawn(name: str, seed: int, num_classes: int):
    torch.manual_seed(seed)
    return ARCHITECTURES[name].build(num_classes)


#: Drawing weights takes longer than most tests.
_drawn_once = functools.cache(drawn)


def seeded(name: str, num_classes: int = 7):
    """The network of seed 0; what a test draws after it is the same every time, and not that."""
    torch.manual_seed(1)
    return copy.deepcopy(_drawn_once(name, 0, num_classes))


def test_names_are_unique_and_families_known():
    assert len(ARCHITECTURES) == len(NETWORKS) == 33
    families = {architecture.family for architecture in ARCHITECTURES.values()}
    assert families == {"resnet", "wrn", "vgg", "mobilenet", "shufflenet"}


@pytest.mark.parametrize(
    ("name", "millions"),
    {
        "wrn_40_2": 2.255,
        "wrn_40_1": 0.570,
        "wrn_16_2": 0.703,
        "resnet32x4": 7.434,
        "resnet8x4": 1.234,
        "vgg13": 9.462,
        "vgg8": 3.965,
        "ShuffleV2": 1.356,
        "MobileNetV2": 0.813,
    }.items(),
)
def test_parameters_as_published(name, millions):
    assert parameters(on_meta(name)) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "stages", "final_map"),
    [
        ("wrn_40_2", [(32, 32), (64, 16), (128, 8)], (128, 8)),
        ("wrn_40_1", [(16, 32), (32, 16), (64, 8)], (64, 8)),
        ("wrn_16_2", [(32, 32), (64, 16), (128, 8)], (128, 8)),
        ("resnet32x4", [(64, 32), (128, 16), (256, 8)], (256, 8)),
        ("resnet8x4", [(64, 32), (128, 16), (256, 8)], (256, 8)),
        ("vgg13", [(128, 16), (256, 8), (512, 4), (512, 4)], (512, 4)),
        ("vgg8", [(128, 16), (256, 8), (512, 4), (512, 4)], (512, 4)),
        ("ShuffleV2", [(116, 16), (232, 8), (464, 4)], (1024, 4)),
        ("MobileNetV2", [(12, 16), (16, 8), (48, 4), (160, 2)], (1280, 2)),
    ],
)
def test_feature_shapes_as_published(name, stages, final_map):
    shapes = ARCHITECTURES[name].shapes(100, 32)
    assert shapes.stages == tuple((c, size, size) for c, size in stages)
    assert shapes.final_map == (final_map[0], final_map[1], final_map[1])
    assert shapes.embedding == final_map[0]


@pytest.mark.parametrize(("name", "gigaflops"), {"resnet32x4": 2.166, "resnet8x4": 0.354, "wrn_40_2": 0.655}.items())
def test_flops(name, gigaflops):
    model, image = on_meta(name), torch.empty(1, 3, 32, 32, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert counter.get_total_flops() / 1e9 == pytest.approx(gigaflops, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "millions"),
    {
        "wrn_16_2": 1.21,
        "wrn_40_1": 0.98,
        "resnet8x4": 2.12,
        "vgg8": 9.89,
        "vgg8_5stages": 13.86,
        "ShuffleV2": 2.41,
        "MobileNetV2": 2.27,
    }.items(),
)
def test_parameters_of_all_branches(name, millions):
    model = on_meta(name)
    with torch.device("meta"):
        branches = [model.branch(after) for after in range(1, len(model.stages))]
    assert sum(map(parameters, branches)) / 1e6 == pytest.approx(millions, abs=5e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes_agree_forward_at_any_size_and_backward(name):
    model = on_meta(name, 10)
    outputs = model.outputs(torch.empty(2, 3, 8, 8, device="meta"))
    assert outputs.logits.shape == (2, 10)
    outputs.logits.sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in model.parameters())
    pass_norms_by(model)
    with torch.no_grad():
        assert model(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 10)


@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("name", SMALL)
def test_trains_at_any_size(name, size):
    model = seeded(name).train()
    model(torch.randn(2, 3, size, size)).square().sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert sum(g.abs().sum() > 0 for g in gradients) > len(gradients) / 2


def test_vgg_pools_before_its_last_block_only_above_4_pixels():
    sizes = {size: [shape[1] for shape in ARCHITECTURES["vgg8"].shapes(10, size).stages] for size in (8, 32, 64)}
    assert sizes == {8: [4, 2, 1, 1], 32: [16, 8, 4, 4], 64: [32, 16, 8, 4]}


@pytest.mark.parametrize("name", SMALL)
def test_stage_ends_after_or_before_the_relu(name):
    outputs = seeded(name).outputs(torch.randn(2, 3, 32, 32))
    raw = ARCHITECTURES[name].family == "wrn" or name in LINEAR
    assert [bool((stage < 0).any()) for stage in outputs.stages] == [raw] * len(outputs.stages)
    assert (outputs.final_map >= 0).all()
    assert torch.allclose(outputs.embedding, outputs.final_map.mean(dim=(2, 3)))


@pytest.mark.parametrize("name", SMALL)
def test_nothing_overwrites_a_tapped_map(name):
    model = seeded(name).train()
    seen: list[Tensor] = []
    for module in (*model.stages, model.head.neck):
        module.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    image = torch.randn(2, 3, 16, 16)
    untouched = image.clone()
    outputs = model.outputs(image)
    assert torch.equal(image, untouched)
    for value, kept in zip((*outputs.stages, outputs.final_map), seen, strict=True):
        assert torch.equal(value, kept)
    # A branch shares the map that the trunk goes on with.
    for after in range(1, len(model.stages)):
        model.branch(after)(outputs.stages[after - 1])
        assert torch.equal(outputs.stages[after - 1], seen[after - 1])


@pytest.mark.parametrize("name", SMALL)
def test_preactivations_are_the_maps_before_the_last_relu(name):
    model = seeded(name).train()
    # Norms that tell their batch from their running statistics.
    passed: dict[nn.Module, Tensor] = {}
    for norm in model.norms_behind(model) if model.norms_behind else ():
        norm.register_forward_hook(lambda norm, inputs, output: passed.update({norm: output.clone()}))
    outputs = model.outputs(torch.randn(2, 3, 16, 16), ("preactivations",))
    family = ARCHITECTURES[name].family
    for before, end in zip(outputs.preactivations, outputs.stages, strict=True):
        assert before.shape == end.shape and (before < 0).any()
        if family != "wrn" and name not in LINEAR:
            assert torch.equal(before.relu(), end)
    if name in LINEAR:
        assert all(map(torch.equal, outputs.preactivations, outputs.stages))
    if family == "wrn":
        torch.testing.assert_close(list(outputs.preactivations), list(passed.values()))


@pytest.mark.parametrize("name", SMALL)
def test_asking_for_more_features_changes_nothing_else(name):
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = []
    for asked in ((), FEATURES):
        model = seeded(name).train()
        outputs = model.outputs(images, asked)
        found.append([outputs.logits, *outputs.stages, outputs.final_map, *model.state_dict().values()])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_a_branchs_preactivations(name):
    model = seeded(name).eval()
    outputs = model.outputs(torch.randn(2, 3, 16, 16), ("preactivations",))
    branch = model.branch(after=1).eval()
    branch.load_state_dict({**model.stages[1:].state_dict(prefix="stages."), **model.head.state_dict(prefix="head.")})
    ahead = branch.outputs(outputs.stages[0], ("preactivations",)).preactivations
    if ARCHITECTURES[name].family == "wrn":
        # A WRN's branch begins with the norm behind the stage that it follows.
        assert len(branch.norms_behind(branch)) == len(branch.stages)
    torch.testing.assert_close(ahead, outputs.preactivations[1:])


@pytest.mark.parametrize(
    ("name", "norms"),
    {
        "resnet8": ["stages.0.0.bn2", "stages.1.0.bn2", "stages.2.0.bn2"],
        "ResNet50": ["stages.0.2.bn3", "stages.1.3.bn3", "stages.2.5.bn3", "stages.3.2.bn3"],
        "wrn_16_1": ["stages.1.0.bn1", "stages.2.0.bn1", "head.neck.0"],
        "vgg13": ["stages.0.1.4", "stages.1.1.4", "stages.2.1.4", "stages.3.1.4"],
        "MobileNetV2": ["stages.0.1.1.conv.7", "stages.1.0.2.conv.7", "stages.2.1.2.conv.7", "stages.3.1.0.conv.7"],
        "ShuffleV1": ["stages.0.3.bn3", "stages.1.7.bn3", "stages.2.3.bn3"],
        "ShuffleV2": [None, None, None],
        "resnet18": [f"stages.{n}.1.bn2" for n in range(4)],
        "resnet50_imagenet": ["stages.0.2.bn3", "stages.1.3.bn3", "stages.2.5.bn3", "stages.3.2.bn3"],
        "mobilenetv1": ["stages.0.1.4", "stages.1.1.4", "stages.2.5.4", "stages.3.1.4"],
        "mobilenet_v2": ["stages.0.1.conv.3", "stages.1.2.conv.3", "stages.2.6.conv.3", "stages.3.3.conv.3"],
        "shufflenet_v2_x0_5": [None, None, None],
    }.items(),
)
def test_norms_of_the_preactivations(name, norms):
    model = on_meta(name)
    modules = dict(model.named_modules())
    assert all(
        norm is (modules[path] if path else None) for norm, path in zip(model.preactivation_norms, norms, strict=True)
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_branches_continue_every_stage(name):
    model, shapes = on_meta(name, 10), ARCHITECTURES[name].shapes(10, 32)
    for after, shape in enumerate(shapes.stages[:-1], start=1):
        with torch.device("meta"):
            branch = model.branch(after)
            pass_norms_by(branch)
            outputs = branch.outputs(torch.empty(2, *shape))
        assert outputs.logits.shape == (2, 10)
        assert outputs.final_map.shape[1:] == shapes.final_map
        assert tuple(stage.shape[1:] for stage in outputs.stages) == shapes.stages[after:]
    for after in (0, len(shapes.stages)):
        with pytest.raises(ValueError, match="branch starts after"):
            model.branch(after)


@pytest.mark.parametrize("name", SMALL)
def test_a_branch_is_fresh_and_attached(name):
    model = seeded(name)
    branch = model.branch(after=1)
    own, trunk = branch.state_dict(), {**model.stages[1:].state_dict(prefix="stages."), **model.head.state_dict()}
    convolutions = [key for key, value in branch.stages.state_dict(prefix="stages.").items() if value.ndim == 4]
    assert convolutions
    assert not any(torch.equal(own[key], trunk[key]) for key in convolutions)
    assert not torch.equal(branch.head.classifier.weight, model.head.classifier.weight)

    branch(model.outputs(torch.randn(2, 3, 16, 16)).stages[0]).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.stages[0].parameters() if p.ndim == 4)
    assert all(p.grad is None for p in model.stages[1:].parameters())


@pytest.mark.parametrize("name", SMALL)
def test_the_seed_alone_decides_the_weights(name):
    first, again, other = (drawn(name, seed, 7).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.classifier.weight"], other["head.classifier.weight"])


@pytest.mark.parametrize("name", SMALL)
def test_the_stems_map_is_what_the_first_stage_is_given(name):
    model = seeded(name).eval()
    given = []
    model.stages[0].register_forward_pre_hook(lambda stage, inputs: given.append(inputs[0].clone()))
    outputs = model.outputs(torch.randn(2, 3, 16, 16))
    assert torch.equal(outputs.stem, given[0])
    assert ARCHITECTURES[name].shapes(5, 16).stem == tuple(outputs.stem.shape[1:])


@pytest.mark.parametrize("name", SMALL)
def test_logits_are_the_means_of_class_maps(name):
    outputs = seeded(name).eval().outputs(torch.randn(2, 3, 16, 16), ("class_maps",))
    assert outputs.class_maps.shape[2:] == outputs.final_map.shape[2:]
    torch.testing.assert_close(outputs.class_maps.mean(dim=(2, 3)), outputs.logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_initialisation_of_convolutions(name):
    # Shuffle networks keep PyTorch's default, uniform in ±1/√fan_in; the others are normal in fan-out mode.
    default = ARCHITECTURES[name].family == "shufflenet"
    for module in seeded(name).modules():
        if not isinstance(module, nn.Conv2d) or module.weight.numel() < 1000:
            continue
        fan_in, fan_out = module.weight[0].numel(), module.weight[:, 0].numel()
        expected = math.sqrt(1 / (3 * fan_in)) if default else math.sqrt(2 / fan_out)
        tolerance = 5 / math.sqrt(2 * module.weight.numel())
        assert module.weight.std().item() == pytest.approx(expected, rel=tolerance)
        assert module.weight.mean().abs().item() < 5 * expected / math.sqrt(module.weight.numel())
        peak = module.weight.abs().max().item()
        assert (peak <= 1 / math.sqrt(fan_in)) if default else (peak > 2.5 * expected)
        assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("name", SMALL)
def test_initialisation_of_norms_and_classifier(name):
    model = seeded(name, num_classes=100)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)
    weight, bias = model.head.classifier.weight, model.head.classifier.bias
    family = ARCHITECTURES[name].family
    uniform = math.sqrt(1 / (3 * weight.shape[1]))
    expected = 0.01 if family in ("vgg", "mobilenet") else uniform
    assert weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * weight.numel()))
    assert bias.any().item() == (family not in ("vgg", "mobilenet", "wrn"))
