"""Views of images, against torchvision's own transforms."""

import pytest
import torch
from torchvision.transforms import v2

from kdbench.data.augment import Augmentation
from kdbench.data.decode import decode_pixels
from kdbench.data.views import RATIOS, training_view
from tests.data.streams import SIDE, picture, streamed_dataset


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (9, 100), (SIDE, SIDE)])
def test_a_random_resized_crop_has_torchvision_s_pixels_with_channels_last(size: tuple[int, int]) -> None:
    pixels = decode_pixels(picture(0, 0, *size))
    area = (0.08, 1.0)
    ours = training_view(streamed_dataset().info, Augmentation(crop_padding=0, size=SIDE, random_resized_crop=area))
    theirs = v2.RandomResizedCrop(SIDE, scale=area, ratio=RATIOS)
    for seed in range(10):
        torch.manual_seed(seed)
        view = ours(pixels)
        torch.manual_seed(seed)
        assert torch.equal(view, theirs(pixels))
        assert view.permute(1, 2, 0).is_contiguous()
