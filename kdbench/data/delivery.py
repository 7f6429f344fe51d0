"""How images reach networks, whatever holds them: the one place that tells data in memory from data in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from kdbench.data import batches, streamed_batches
from kdbench.data.augment import Augmentation, side_of
from kdbench.data.batches import Batches, eval_batches
from kdbench.data.reading import Loaders, Reader, Wanted
from kdbench.data.split import Split
from kdbench.data.streamed import AnyDataset, StreamedDataset
from kdbench.data.streamed_batches import StreamedBatches, streamed_test
from kdbench.recipe import Recipe


class Delivery(Protocol):
    """The batches of a run, epoch by epoch: a pure function of (data set, seed, epoch, step)."""

    #: Batches of an epoch; the last one is short where the batch size does not divide the number of images.
    steps: int

    def epoch(self, epoch: int) -> None:
        """Draw the order of `epoch`, whose batches the other calls are about."""

    def drawn(self, step: int) -> tuple[Tensor, ...]:
        """What batch `step` (from 0) is made of, on the device; of other values and the same shapes for every batch of
        a size. Raises `NotDelivered` where an image cannot be read.
        """

    def gather(self, drawn: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """The batch of what was drawn, by operators that a CUDA graph can capture.

        Normalised images, float32 [B, 3, H, W] in channels-last memory; labels, int64 [B]; and the images' positions in
        the split, int64 [B].
        """

    def test(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The test images in order, without augmentation, and their labels. Raises as `drawn` does."""

    def close(self) -> None:
        """Give back what reads ahead; nothing can be asked for after that."""


def delivery(
    dataset: AnyDataset, recipe: Recipe, seed: int, device: torch.device, loaders: Loaders, *, tested: bool = True
) -> Delivery:
    """Batches as `recipe` has them; `loaders` read what is in files, and the test set as well if it is `tested`."""
    augmentation, batch_size = recipe.augmentation, recipe.batch_size
    if isinstance(dataset, StreamedDataset):
        return StreamedBatches(
            dataset,
            augmentation=augmentation,
            batch_size=batch_size,
            seed=seed,
            device=device,
            loaders=loaders,
            epochs=recipe.epochs,
            max_steps=recipe.max_steps,
            tested=tested,
        )
    return Batches(dataset, augmentation=augmentation, batch_size=batch_size, seed=seed, device=device)


def test_images(
    dataset: AnyDataset, augmentation: Augmentation, device: torch.device, loaders: Loaders
) -> Iterator[tuple[Tensor, Tensor]]:
    """What `Delivery.test` gives, where nothing is trained."""
    if isinstance(dataset, StreamedDataset):
        return streamed_test(dataset, augmentation, device, loaders)
    side_of(dataset.info, augmentation)
    return eval_batches(dataset.test, dataset.mean, dataset.std, eval_batch(dataset), device)


def training_images(dataset: AnyDataset, augmentation: Augmentation, positions: Tensor) -> Split:
    """Training images at `positions` [N] as evaluation sees them, and their labels; on the CPU.

    Raises `NotDelivered` where one cannot be read.
    """
    labels = dataset.train.labels[positions]
    if isinstance(dataset, StreamedDataset):
        images = Reader(dataset, augmentation).images(Wanted("training", positions.tolist()))
        return Split(images, labels)
    return Split(dataset.train.images[positions], labels)


def eval_batch(dataset: AnyDataset) -> int:
    """Images of an evaluation batch: fixed, so that a result does not depend on what else is trained."""
    return streamed_batches.EVAL_BATCH if isinstance(dataset, StreamedDataset) else batches.EVAL_BATCH
