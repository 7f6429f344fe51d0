"""What all networks share."""

import torch

from kdbench.model import spatial_mean


def test_spatial_mean():
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(spatial_mean(maps), maps.mean(dim=(2, 3)))


def test_the_gradient_of_a_spatial_mean_brings_no_layout_of_its_own():
    """The gradient of `mean` does, and each operator behind it then meets two layouts."""
    maps = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(spatial_mean(maps).square().sum(), maps)
    assert gradient.stride()[2:] == (0, 0)
