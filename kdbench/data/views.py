"""What networks see of images of any size: uint8 images of one size, cut out and changed as the recipe says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from kdbench.data.augment import Augmentation, side_of
from kdbench.data.dataset import DatasetInfo

#: Width to height of a random resized crop, as the field has it (Szegedy et al., CVPR 2015).
RATIOS = (3 / 4, 4 / 3)
#: Pixels, uint8 [3, H, W].
View = Callable[[Tensor], Tensor]


def training_view(info: DatasetInfo, augmentation: Augmentation) -> View:
    """Crop, colour jitter and RandAugment, drawn from torch's CPU random state; the flip is left to the device.

    The crop is random in place, size and shape; or, where no `random_resized_crop` is asked for, a random place in the
    image whose shorter side was resized to `resize` pixels (else to those seen), with a border of `crop_padding`.
    """
    side = side_of(info, augmentation)
    cut: list[View]
    if augmentation.random_resized_crop:
        cut = [_RandomResizedCrop(side, scale=augmentation.random_resized_crop, ratio=RATIOS)]
    else:
        cut = [v2.Resize(augmentation.resize or side), v2.RandomCrop(side, padding=augmentation.crop_padding or None)]
    colours: list[View] = []
    if augmentation.colour_jitter:
        colours.append(v2.ColorJitter(*augmentation.colour_jitter))
    if augmentation.rand_augment:
        colours.append(v2.RandAugment(*augmentation.rand_augment))
    # On Pillow's images these take half the time.
    view: View = v2.Compose([*cut, _to_pillow, *colours, _from_pillow] if colours else cut)
    return view


def evaluation_view(info: DatasetInfo, augmentation: Augmentation) -> View:
    """The middle of the image whose shorter side was resized to `resize` pixels, else to those seen."""
    side = side_of(info, augmentation)
    view: View = v2.Compose([v2.Resize(augmentation.resize or side), v2.CenterCrop(side)])
    return view


class _RandomResizedCrop(v2.RandomResizedCrop):  # type: ignore[misc]
    """torchvision's, to the same pixels: of a part that lies close in memory the channels stay last, as whoever puts
    images together wants them.
    """

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        part = v2.functional.crop(inpt, params["top"], params["left"], params["height"], params["width"])
        close = part.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        view: Tensor = v2.functional.resize(close, self.size, self.interpolation, antialias=self.antialias)
        return view


def _to_pillow(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _from_pillow(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
