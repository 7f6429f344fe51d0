"""Labels as class probabilities, and what makes them so: label smoothing, mixup and cutmix."""

from __future__ import annotations

import math
import random

import torch
from torch import Tensor

from kdbench.data.augment import Augmentation
from kdbench.data.seeds import stream

#: The weight outside the box, and its top, bottom, left and right.
_DRAWN = 5
#: A box that no pixel lies in.
_NOWHERE = (2.0, 2.0, 2.0, 2.0)


class Mixing:
    """Mixes every image with the one before it in its batch, the first with the last, and labels with it.

    Mixup (Zhang et al., ICLR 2018) blends the two by λ; cutmix (Yun et al., ICCV 2019) takes a box of area 1 - λ from
    the other, cut off at the border, and λ is then the share that is left. λ ~ Beta(α, α) and the box's centre are one
    for the batch. Where a recipe has both, each batch gets one of them, by the toss of a coin. What is drawn follows
    from `names` (data set, seed), epoch and step.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        label_smoothing: float,
        num_classes: int,
        names: tuple[str, int],
        device: torch.device,
    ):
        self._mixup, self._cutmix = augmentation.mixup, augmentation.cutmix
        self._smoothing = label_smoothing
        self._classes = num_classes
        self._names = names
        self._drawn = torch.zeros(_DRAWN, device=device)

    def seek(self, epoch: int, step: int) -> None:
        """Draw for a batch, and tell the device; no waiting."""
        if self._mixup or self._cutmix:
            for place, value in zip(self._drawn, self._draw(epoch, step), strict=True):
                place.fill_(value)

    def _draw(self, epoch: int, step: int) -> tuple[float, ...]:
        toss = random.Random(stream("mixing", *self._names, epoch, step))
        cut = toss.random() < 0.5 if self._mixup and self._cutmix else bool(self._cutmix)
        alpha = self._cutmix if cut else self._mixup
        kept = toss.betavariate(alpha, alpha)
        if not cut:
            return kept, *_NOWHERE
        half = math.sqrt(1 - kept) / 2
        middle, across = toss.random(), toss.random()
        return 1.0, middle - half, middle + half, across - half, across + half

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, H, W] and labels [B] int64 → mixed images and class probabilities, float32 [B, K].

        The drawn numbers are read on the device, so a CUDA graph can capture it.
        """
        soft = torch.zeros(len(labels), self._classes, device=labels.device).scatter_(1, labels.unsqueeze(1), 1.0)
        if self._mixup or self._cutmix:
            weight = self._weight(*images.shape[2:])
            images = torch.lerp(_before(images), images, weight)
            soft = torch.lerp(_before(soft), soft, weight.mean())
        return images, soft * (1 - self._smoothing) + self._smoothing / self._classes

    def _weight(self, height: int, width: int) -> Tensor:
        """How much of each pixel [H, W] is the image's own."""
        outside, top, bottom, left, right = self._drawn.unbind()
        rows, columns = (torch.arange(side, device=outside.device).add(0.5).div(side) for side in (height, width))
        inside = ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
        return torch.where(inside, 0.0, outside)


def _before(batch: Tensor) -> Tensor:
    """Each sample's predecessor; `roll` would lose the images' layout in memory."""
    return torch.cat([batch[-1:], batch[:-1]])
