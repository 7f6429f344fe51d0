"""Images for the training benchmark: the data set's own, or noise of its shape."""

from __future__ import annotations

from pathlib import Path

import torch

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, make_dataset
from kdbench.data.known import Channels
from kdbench.data.split import Split
from kdbench.data.streamed import resident

GREY: Channels = (0.5, 0.5, 0.5)
SPREAD: Channels = (0.25, 0.25, 0.25)


def dataset_or_noise(source: DatasetSource, data_dir: Path | None) -> tuple[Dataset, list[str]]:
    """The data set, and what must be said of it: that it is noise, where the data are not on this machine."""
    if source.available(data_dir):
        return resident(source.load(data_dir)), []
    return noise(source.info(data_dir)), [f"{source.name} is not on this machine: images are noise of its shape."]


def noise(info: DatasetInfo) -> Dataset:
    """Random images of a data set's shape and number."""
    generator = torch.Generator().manual_seed(0)

    def split(size: int) -> Split:
        shape = (size, info.side, info.side, 3)
        images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        return Split(images, torch.arange(size) % info.num_classes)

    classes = tuple(str(number) for number in range(info.num_classes))
    return make_dataset(info.name, classes, split(info.train_size), split(info.test_size), (GREY, SPREAD))
