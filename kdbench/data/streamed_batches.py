"""Batches of a data set that is read as it is used: what crosses to the device are uint8 images of one size."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from kdbench.data.augment import Augmentation, side_of
from kdbench.data.batches import normalisation, normalise, shuffled
from kdbench.data.reading import Loaders, Reader, Stream, Wanted
from kdbench.data.seeds import stream
from kdbench.data.streamed import StreamedDataset

#: Images of an evaluation batch; fixed, so that a result does not depend on what else is trained.
EVAL_BATCH = 100


class StreamedBatches:
    """The images of one run: batches of training, at most `max_steps` an epoch, and then, if it is `tested`, those of
    the test set; for so many `epochs`.

    Their order and flips depend on (name of the data set, seed, epoch) alone, and what else is random of an image on
    its position beside. Reading begins with the batch that is asked for first, and goes on to the last epoch's end.
    """

    def __init__(
        self,
        dataset: StreamedDataset,
        *,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        device: torch.device,
        loaders: Loaders,
        epochs: int,
        max_steps: int | None,
        tested: bool,
    ):
        self._size, self._test_size = len(dataset.train), len(dataset.test)
        self._batch_size = batch_size
        self.steps = math.ceil(self._size / batch_size)
        self._trained = min(self.steps, max_steps or self.steps)
        self._tested = math.ceil(self._test_size / EVAL_BATCH) if tested else 0
        self._augmentation = augmentation
        self._names = ("batches", dataset.info.name, seed)
        self._device = device
        self._labels, self._test_labels = (part.labels.to(device) for part in (dataset.train, dataset.test))
        side = side_of(dataset.info, augmentation)
        self._scale, self._shift = (values.to(device) for values in normalisation(dataset.mean, dataset.std, side))
        #: The sampler is ahead of training, by an epoch at its turn.
        self._order = lru_cache(maxsize=2)(self._draw)
        self._stream = Stream(
            Reader(dataset, augmentation, seed),
            self._wanted,
            epochs * (self._trained + self._tested),
            loaders,
            pinned=device.type == "cuda",
        )
        self._epoch = 0
        self._drawn: Tensor | None = None

    def epoch(self, epoch: int) -> None:
        """Draw the order and flips of `epoch`, and move them to the device in one go."""
        self._epoch = epoch
        self._drawn = self._order(epoch).to(self._device)

    def drawn(self, step: int) -> tuple[Tensor, Tensor]:
        """Images of batch `step`, uint8 [B, side, side, 3], with index and flip, int64 [2, B]; on the device.

        Raises `NotDelivered`.
        """
        if self._drawn is None:
            raise RuntimeError("call StreamedBatches.epoch before asking for a batch")
        if not 0 <= step < self._trained:
            raise IndexError(f"batch {step} of an epoch of {self._trained}")
        return self._images(step), self._drawn[:, self._part(step)]

    def gather(self, drawn: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """See `Batches.gather`."""
        images, (index, flip) = drawn[0], drawn[1].unbind()
        # Whole images are copied here, at many times the speed of a choice made for each byte.
        chosen = torch.arange(len(images), device=images.device) + len(images) * flip
        images = torch.cat([images, images.flip(2)]).index_select(0, chosen)
        return normalise(images, self._scale, self._shift), self._labels.index_select(0, index), index

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images in order and their labels, as they come after an epoch. Raises `NotDelivered`."""
        for number, labels in enumerate(torch.split(self._test_labels, EVAL_BATCH)):
            yield normalise(self._images(self._trained + number), self._scale, self._shift), labels

    def close(self) -> None:
        """Let the reading processes end."""
        self._stream.close()

    def _images(self, step: int) -> Tensor:
        number = (self._epoch - 1) * (self._trained + self._tested) + step
        return self._stream.batch(number).to(self._device, non_blocking=True)

    def _wanted(self, number: int) -> Wanted:
        epoch, step = divmod(number, self._trained + self._tested)
        if step < self._trained:
            return Wanted("training", self._order(epoch + 1)[0, self._part(step)].tolist(), epoch + 1)
        return _test_part(step - self._trained, self._test_size)

    def _part(self, step: int) -> slice:
        return slice(step * self._batch_size, (step + 1) * self._batch_size)

    def _draw(self, epoch: int) -> Tensor:
        """Index and flip in the order of `epoch`, int64 [2, N]."""
        generator = torch.Generator().manual_seed(stream(*self._names, epoch))
        return torch.stack(shuffled(self._size, self._augmentation, generator))


def streamed_test(
    dataset: StreamedDataset, augmentation: Augmentation, device: torch.device, loaders: Loaders
) -> Iterator[tuple[Tensor, Tensor]]:
    """The test images in order and their labels, where nothing is trained. Raises `NotDelivered`."""
    size = len(dataset.test)
    scale, shift = (v.to(device) for v in normalisation(dataset.mean, dataset.std, side_of(dataset.info, augmentation)))
    ahead = Stream(
        Reader(dataset, augmentation),
        lambda number: _test_part(number, size),
        math.ceil(size / EVAL_BATCH),
        loaders,
        pinned=device.type == "cuda",
    )
    with contextlib.closing(ahead):
        for number, labels in enumerate(torch.split(dataset.test.labels, EVAL_BATCH)):
            yield normalise(ahead.batch(number).to(device), scale, shift), labels.to(device)


def _test_part(number: int, size: int) -> Wanted:
    start = number * EVAL_BATCH
    return Wanted("test", range(start, min(start + EVAL_BATCH, size)))
