import pytest
import torch
from torch import nn

from kdbench_methods.modules import AlignHead, ConvAlign, Frozen, as_map, branches, resized
from tests.methods import reference as ref
from tests.support import STUDENT


@pytest.mark.parametrize("before", [(8, 8), (4, 4), (3, 3), (1, 1), (4, 6)])
@pytest.mark.parametrize("after", [(8, 8), (4, 4), (2, 2), (1, 1), (5, 3)])
def test_resized_is_adaptive_average_pooling(before, after):
    maps = torch.randn(2, 3, *before, dtype=torch.float64)
    torch.testing.assert_close(resized(maps, after), ref.pool(maps, *after))


def test_resized_has_the_right_gradient_where_it_replicates():
    maps = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resized(x, (4, 9)).square(), maps)


def test_as_map():
    assert as_map(torch.zeros(2, 3)).shape == (2, 3, 1, 1)
    assert as_map(torch.zeros(2, 3, 4, 5)).shape == (2, 3, 4, 5)


def test_branches_end_like_the_student():
    student = STUDENT.build(5)
    outputs = student.outputs(torch.randn(2, 3, 8, 8))
    for branch, stage in zip(branches(student, (1, 2, 3)), outputs.stages, strict=False):
        head = branch.outputs(stage)
        assert (head.final_map.shape, head.logits.shape) == (outputs.final_map.shape, outputs.logits.shape)
        assert not {id(p) for p in branch.parameters()} & {id(p) for p in student.parameters()}


@pytest.mark.parametrize(
    ("projector", "layers"),
    [
        (AlignHead, "Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d ReLU Conv2d"),
        (ConvAlign, "Conv2d BatchNorm2d ReLU"),
    ],
)
def test_projections(projector, layers):
    module = projector(3, 5)
    assert " ".join(type(layer).__name__ for layer in module) == layers
    convolutions = [layer for layer in module if isinstance(layer, nn.Conv2d)]
    assert all(layer.bias is None for layer in convolutions)
    wide = 10 if len(convolutions) == 3 else 5
    assert [(c.out_channels, c.kernel_size[0]) for c in convolutions] == [(wide, 1), (10, 3), (5, 1)][
        : len(convolutions)
    ]
    assert module(torch.randn(2, 3, 4, 4)).shape == (2, 5, 4, 4)


def test_frozen_stays_in_eval_mode_and_out_of_its_owner():
    original = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    owner = nn.Sequential(Frozen(original), nn.Linear(2, 2))
    owner.train().requires_grad_(True)
    inside = owner[0].module
    assert not any(module.training for module in inside.modules())
    assert not any(parameter.requires_grad for parameter in inside.parameters())
    assert original.training
    assert original[0].weight.requires_grad
    assert {name for name, _ in owner.named_parameters()} == {"1.weight", "1.bias"}
    assert owner.state_dict().keys() == {"1.weight", "1.bias"}
    owner.to(torch.float64)
    assert inside[0].weight.dtype is torch.float64
    assert original[0].weight.dtype is torch.float32
