"""What all networks share."""

import pytest
import torch
from torch import nn

from kdbench.inputs.errors import UserError
from kdbench.model import Architecture, Head, StagedModel, spatial_mean


def test_spatial_mean():
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(spatial_mean(maps), maps.mean(dim=(2, 3)))


def test_the_gradient_of_a_spatial_mean_brings_no_layout_of_its_own():
    """The gradient of `mean` does, and each operator behind it then meets two layouts."""
    maps = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(spatial_mean(maps).square().sum(), maps)
    assert gradient.stride()[2:] == (0, 0)


def raising(num_classes):
    raise ValueError(f"no width\nfor {num_classes}")


def narrowing(num_classes):
    return StagedModel(nn.Conv2d(3, 4, 9), [nn.Identity()], Head(nn.Identity(), nn.Linear(4, num_classes)))


def test_what_a_networks_code_raises_is_a_sentence():
    with pytest.raises(UserError, match="network 'a' cannot be built for 7 classes: ValueError: no width for 7"):
        Architecture("a", "family", raising).build(7)
    with pytest.raises(
        UserError, match=r"network 'b' cannot take images of 8×8: RuntimeError: .*(kernel|Kernel|output size)"
    ):
        Architecture("b", "family", narrowing).shapes(10, 8)
    assert Architecture("b", "family", narrowing).shapes(10, 9).embedding == 4


class Dropping(nn.BatchNorm2d):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x))


def norming(norm, channels):
    def builder(num_classes):
        return StagedModel(nn.Conv2d(3, 4, 1), [norm(channels)], Head(nn.Identity(), nn.Linear(4, num_classes)))

    return Architecture("norming", "family", builder)


def test_shapes_pass_norms_by_but_not_what_is_wrong_or_done_beside():
    assert not norming(nn.BatchNorm2d, 4).shapes(10, 8).draws
    assert norming(Dropping, 4).shapes(10, 8).draws
    with pytest.raises(UserError, match="cannot take images of 8×8: ValueError: a batch norm of 5 channels is given 4"):
        norming(nn.BatchNorm2d, 5).shapes(10, 8)
    with pytest.raises(UserError, match="cannot take images of 8×8: ValueError: expected 5D input"):
        norming(nn.BatchNorm3d, 4).shapes(10, 8)
    assert norming(lambda _: nn.LazyBatchNorm2d(), 4).shapes(10, 8).stages == ((4, 8, 8),)
