"""Networks of timm as staged ones, against timm itself; the script behind docs/networks.md looks at many more."""

import pytest
import torch
from torch import nn

import kdbench
from kdbench.cli.descriptions import describe_architecture
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.store.zoo import from_zoo
from kdbench.trial import Side, why_declined

timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'kdbench[timm]'")

SIDE = 96
#: Convolutions; a classifier behind a norm; a token that the map has not; maps [B, H, W, C].
CONVOLUTIONS = "timm:test_resnet"
NORM = "timm:test_convnext"
CLASS_TOKEN = "timm:test_vit+img_size=96"
CHANNELS_LAST = "timm:test_mambaout"
NETWORKS = [CONVOLUTIONS, NORM, CLASS_TOKEN, CHANNELS_LAST]


def network(name):
    torch.manual_seed(0)
    model = kdbench.create_model(name, num_classes=7).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def images():
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_features_are_timms_own(name):
    model, x = network(name), images()
    outputs = model.outputs(x, model.offers)
    assert set(outputs.features) == set(model.offers)
    logits = model.net(x)
    torch.testing.assert_close(outputs.logits, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model(x), logits, rtol=1e-5, atol=1e-5)
    # The embedding is what the classifier sees.
    torch.testing.assert_close(model.net.get_classifier()(outputs.embedding), logits, rtol=1e-5, atol=1e-5)
    theirs = model.net.forward_intermediates(x, indices=[*model.facts.levels], intermediates_only=True)
    assert all(map(torch.equal, outputs.stages, theirs))
    shapes = load_plugins().architecture(name).shapes(7, SIDE)
    assert tuple(tuple(stage.shape[1:]) for stage in outputs.stages) == shapes.stages
    assert {*model.offers, *shapes.absent} == set(kdbench.model.FEATURES) and "stem" in shapes.absent
    if "class_maps" in model.offers:
        torch.testing.assert_close(outputs.class_maps.mean(dim=(2, 3)), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "offers", "branches"),
    [
        (CONVOLUTIONS, {"final_map", "embedding", "class_maps"}, (1, 2, 3)),
        (NORM, {"final_map", "embedding"}, (1, 2, 3)),
        (CLASS_TOKEN, {"embedding"}, ()),
        (CHANNELS_LAST, {"final_map", "embedding"}, (1, 2, 3)),
    ],
)
def test_what_is_offered(name, offers, branches):
    model = network(name)
    assert set(model.offers) == {"logits", "stages"} | offers
    assert model.branches == branches


@pytest.mark.parametrize("name", [CONVOLUTIONS, NORM, CHANNELS_LAST])
@torch.no_grad()
def test_a_branch_with_the_networks_weights_makes_its_logits_of_a_stages_map(name):
    model, x = network(name), images()
    outputs = model.outputs(x, model.offers)
    for after in model.branches:
        branch = model.branch(after).eval()
        own = branch.state_dict()
        assert own and own.keys() < model.state_dict().keys()
        assert any(not torch.equal(tensor, model.state_dict()[key]) for key, tensor in own.items())
        branch.load_state_dict({key: model.state_dict()[key] for key in own})
        found = branch.outputs(outputs.stages[after - 1], model.offers)
        torch.testing.assert_close(found.logits, outputs.logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.stages, outputs.stages[after:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.final_map, outputs.final_map, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.embedding, outputs.embedding, rtol=1e-4, atol=1e-5)


def test_a_branch_holds_what_follows_and_trains_all_of_it():
    model = network(CONVOLUTIONS).train()
    branch = model.branch(after=2)
    before = sum(
        p.numel() for name in ("conv1", "bn1", "layer1", "layer2") for p in model.net.get_submodule(name).parameters()
    )
    assert sum(p.numel() for p in branch.parameters()) == sum(p.numel() for p in model.parameters()) - before
    branch(model.outputs(images()).stages[1]).square().sum().backward()
    assert all(p.grad is not None for p in branch.parameters())
    assert all(p.grad is not None for p in model.net.layer2.parameters())
    assert all(p.grad is None for p in model.net.layer3.parameters())


def test_no_branch_where_the_rest_reads_more_than_a_map():
    model = network(CLASS_TOKEN)
    with pytest.raises(kdbench.NotOfferedError, match="grows a branch behind stage 1"):
        model.branch(after=1)


def test_published_files_are_read():
    architecture = load_plugins().architecture(CONVOLUTIONS)
    theirs = timm.create_model("test_resnet", num_classes=7).state_dict()
    read = from_zoo({f"module.{name}": tensor for name, tensor in theirs.items()}, architecture, 7, "a file").tensors
    model = architecture.build(7)
    model.load_state_dict(read)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.net.state_dict().items())


def test_a_family_is_timms_module_and_arguments_are_timms():
    registry = load_plugins()
    assert registry.family("timm:vit_tiny_patch16_224") == "vision_transformer"
    assert registry.family(CONVOLUTIONS) == "resnet"
    name = registry.name("architecture", "timm:Test_ViT+drop_path_rate=0.10")
    assert name == "timm:test_vit+drop_path_rate=0.1"
    rates = [
        module.drop_prob for module in registry.architecture(name).build(3).modules() if hasattr(module, "drop_prob")
    ]
    assert max(rates) == pytest.approx(0.1)


def test_shapes_say_whether_layers_draw():
    registry = load_plugins()
    sized = "timm:test_vit+img_size=32"
    assert not registry.architecture(sized).shapes(10, 32).draws
    assert registry.architecture(f"{sized}+drop_path_rate=0.1").shapes(10, 32).draws
    assert registry.architecture(f"{sized}+attn_drop_rate=0.1").shapes(10, 32).draws


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timm:resnet19", "unknown network of timm 'resnet19'; did you mean 'resnet18'"),
        ("timm:resnet18.a1_in1k", "a tag names a file of weights.*write timm:resnet18"),
        ("timm:resnet18+pretrained=true", "'pretrained' is no argument of the network itself"),
        ("timm:resnet18+checkpoint_path=x.pth", "'checkpoint_path' is no argument"),
        ("timm:hf-hub", "unknown network of timm"),
    ],
)
def test_what_is_no_network_of_timm_is_told(name, sentence):
    with pytest.raises(UserError, match=sentence):
        kdbench.create_model(name)


def test_an_argument_that_the_network_has_not_and_a_size_that_it_does_not_take():
    with pytest.raises(UserError, match=r"cannot be built for 100 classes: TypeError: .*wrong"):
        kdbench.create_model("timm:test_resnet+wrong=1")
    with pytest.raises(UserError, match="cannot take images of 32×32"):
        load_plugins().architecture("timm:test_vit+dynamic_img_size=false").shapes(10, 32)


def test_networks_are_listed_behind_the_scheme():
    names = kdbench.list_models("timm:test_*")
    assert "timm:test_vit" in names and names == sorted(names)
    assert not any(name.startswith("timm:") for name in kdbench.list_models())


def test_a_network_is_described_with_what_it_lacks():
    # Again, for what was asked once is remembered.
    for _ in range(2):
        described = describe_architecture("timm:test_vit", load_plugins())
        assert described["has_no"] == ["stem", "final_map", "preactivations", "class_maps"]
        assert described["no_branch_after_stage"] == [1, 2, 3] and "final_map" not in described
    assert "has_no" not in describe_architecture("resnet8", load_plugins())


def test_building_one_leaves_the_random_state_to_the_weights():
    torch.manual_seed(5)
    model = kdbench.create_model(CONVOLUTIONS, 7)
    torch.manual_seed(5)
    theirs: nn.Module = timm.create_model("test_resnet", num_classes=7)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in model.net.state_dict().items())


@pytest.mark.parametrize(
    ("method", "student", "teacher", "sentence"),
    [
        ("dskd", CONVOLUTIONS, NORM, None),
        ("at", CLASS_TOKEN, CONVOLUTIONS, None),
        ("srrl", CONVOLUTIONS, CHANNELS_LAST, "the classifier behind a global pooling"),
        ("cat_kd", CONVOLUTIONS, "resnet8x4", None),
        ("simkd", "resnet8x4", CONVOLUTIONS, None),
        ("simkd", CONVOLUTIONS, "resnet8x4", "takes the student or the teacher apart"),
        ("dsn", CLASS_TOKEN, None, "grows a branch behind stage 1"),
        ("dskd", CLASS_TOKEN, CONVOLUTIONS, "it reads final_map of the student, which timm:test_vit"),
        ("ofd", "resnet8x4", CONVOLUTIONS, "it reads preactivations of the teacher"),
    ],
)
def test_methods_decline_what_is_not_there(method, student, teacher, sentence):
    registry = load_plugins()

    def side(name):
        architecture = registry.architecture(name)
        return Side(architecture, architecture.shapes(7, SIDE), SIDE)

    found = registry.method(method)
    why = why_declined(found, found.Params(), side(student), side(teacher) if teacher else None)
    assert (why is None) if sentence is None else (sentence in why)
