"""Batches as a pure function of (data set, seed, epoch, step), cut out of uint8 images that stay on the device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from kdbench.data.augment import Augmentation, side_of
from kdbench.data.dataset import Dataset
from kdbench.data.known import Channels
from kdbench.data.seeds import stream
from kdbench.data.split import Split

#: Images of an evaluation batch; fixed, so that a result does not depend on what else is trained.
EVAL_BATCH = 500


class Batches:
    """The training images of one run, epoch by epoch.

    Order, crops and flips depend on (name of the data set, seed, epoch) alone, and are the same on every device. The
    last batch of an epoch is short where `batch_size` does not divide the number of images. Raises `UserError` for
    augmentation that images in memory are not given.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        device: torch.device,
    ):
        side_of(dataset.info, augmentation)
        split = dataset.train.to(device)
        self._size = len(split.labels)
        self._batch_size = batch_size
        self.steps = math.ceil(self._size / batch_size)
        self._augmentation = augmentation
        self._names = ("batches", dataset.info.name, seed)
        self._device = device
        self._dataset = dataset
        self._labels = split.labels
        self._padded = zero_padded(split.images, augmentation.crop_padding)
        height, width = split.images.shape[1:3]
        self._offsets = window_offsets(height, width, self._padded.shape[2]).to(device)
        self._scale, self._shift = (values.to(device) for values in normalisation(dataset.mean, dataset.std, width))
        self._drawn: Tensor | None = None

    def epoch(self, epoch: int) -> None:
        """Draw the order, crops and flips of `epoch`, and move them to the device in one go."""
        generator = torch.Generator().manual_seed(stream(*self._names, epoch))
        order, flips = shuffled(self._size, self._augmentation, generator)
        positions = 2 * self._augmentation.crop_padding + 1
        top, left = torch.randint(positions, (2, self._size), generator=generator)
        self._drawn = torch.stack([order, top, left, flips]).to(self._device)

    def drawn(self, step: int) -> tuple[Tensor]:
        """What was drawn for batch `step`: index, top, left and flip, int64 [4, B]; a view on the device."""
        if self._drawn is None:
            raise RuntimeError("call Batches.epoch before asking for a batch")
        if not 0 <= step < self.steps:
            raise IndexError(f"batch {step} of an epoch of {self.steps}")
        return (self._drawn[:, step * self._batch_size : (step + 1) * self._batch_size],)

    def gather(self, drawn: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """The batch of `drawn` [4, B]: see `batch`. Its shapes depend on B alone, so a CUDA graph can capture it."""
        index, top, left, flip = drawn[0].unbind()
        images, labels = gather_batch(
            self._padded, self._labels, index, top, left, flip, self._offsets, self._scale, self._shift
        )
        return images, labels, index

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Batch `step` (from 0) of the epoch last drawn.

        Returns normalised images, float32 [B, 3, H, W] in channels-last memory; labels, int64 [B]; and the images'
        positions in the split, int64 [B].
        """
        return self.gather(self.drawn(step))

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images in order, without augmentation, and their labels."""
        return eval_batches(self._test, self._dataset.mean, self._dataset.std, EVAL_BATCH, self._device)

    def close(self) -> None:
        """Nothing is held that must be given back."""

    @cached_property
    def _test(self) -> Split:
        return self._dataset.test.to(self._device)


def shuffled(size: int, augmentation: Augmentation, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """An order of `size` images, and for each place in it whether the image there is flipped, int64 [N]."""
    order = torch.randperm(size, generator=generator)
    return order, torch.randint(2, (size,), generator=generator) * augmentation.flip


def gather_batch(
    padded: Tensor,
    labels: Tensor,
    index: Tensor,
    top: Tensor,
    left: Tensor,
    flip: Tensor,
    offsets: Tensor,
    scale: Tensor,
    shift: Tensor,
) -> tuple[Tensor, Tensor]:
    """Crop, flip and normalise a batch.

    `padded` is uint8 [N, H + 2p, W + 2p, 3] and `labels` int64 [N]; `index`, `top`, `left` (of the window in the padded
    image) and `flip` (0 or 1) are int64 [B]; `offsets` comes from `window_offsets`, `scale` and `shift` from
    `normalisation`. Returns images, float32 [B, 3, H, W] in channels-last memory, and labels [B].
    """
    rows, columns = padded.shape[1:3]
    corner = (index * rows + top) * columns + left
    # In place here and in `normalise`: fresh memory costs a CPU more than the arithmetic does.
    pixels = offsets.view(2, -1).index_select(0, flip).add_(corner[:, None])
    windows = padded.view(-1, 3).index_select(0, pixels.view(-1))
    return normalise(windows.view(-1, *offsets.shape[1:], 3), scale, shift), labels.index_select(0, index)


def window_offsets(height: int, width: int, stride: int) -> Tensor:
    """Distance of each pixel of a window from the window's corner in an image of `stride` columns, int64 [2, H, W].

    The first half reads a window from left to right and the second from right to left, so a flip costs nothing.
    """
    forward = torch.arange(height)[:, None] * stride + torch.arange(width)
    return torch.stack([forward, forward.flip(1)])


def zero_padded(images: Tensor, padding: int) -> Tensor:
    """Images [N, H, W, 3] with a black border of `padding` pixels, contiguous."""
    return F.pad(images, (0, 0, padding, padding, padding, padding)).contiguous()


def normalisation(mean: Channels, std: Channels, width: int) -> tuple[Tensor, Tensor]:
    """Scale and shift of a row of pixels, float32 [W · 3], with which 0..255 · scale + shift = (0..1 − mean) / std."""
    means, stds = (torch.tensor(values, dtype=torch.float64) for values in (mean, std))
    return (1 / (255 * stds)).float().repeat(width), (-means / stds).float().repeat(width)


def normalise(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Images uint8 [B, H, W, 3] as float32 [B, 3, H, W] in channels-last memory, times `scale` plus `shift` [W · 3]."""
    height, width = images.shape[1:3]
    # Whole rows at once: a loop over 3 channels is too short for vector instructions.
    rows = images.reshape(-1, height, width * 3).float()
    torch.addcmul(shift, rows, scale, out=rows)
    return rows.view(-1, height, width, 3).permute(0, 3, 1, 2)


def eval_batches(
    split: Split, mean: Channels, std: Channels, batch_size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels in order, as `Batches.batch` gives them but without augmentation."""
    split = split.to(device)
    scale, shift = (values.to(device) for values in normalisation(mean, std, split.images.shape[2]))
    for start in range(0, len(split.labels), batch_size):
        part = slice(start, start + batch_size)
        yield normalise(split.images[part], scale, shift), split.labels[part]
