"""A small data set of JPEG files of several sizes in memory, which counts what is read of it."""

import dataclasses
import io

import numpy as np
import torch
from PIL import Image

from kdbench.data.augment import Augmentation
from kdbench.data.dataset import DatasetInfo
from kdbench.data.streamed import ImageSplit, StreamedDataset, make_streamed_dataset

SIDE = 8
#: What networks see of it.
SEEN = Augmentation(
    crop_padding=0, size=SIDE, resize=10, random_resized_crop=(0.3, 1.0), colour_jitter=(0.2, 0.2, 0.2, 0.1)
)


@dataclasses.dataclass
class Files(ImageSplit):
    """Encoded images; `reads` are the positions read in this process, in order."""

    labels: torch.Tensor
    encoded: list[bytes]
    reads: list[int] = dataclasses.field(default_factory=list)

    def read(self, index: int) -> bytes:
        self.reads.append(index)
        return self.encoded[index]

    def name(self, index: int) -> str:
        return f"{self.labels[index]}/{index}.jpg"


def picture(number: int, label: int, width: int, height: int) -> bytes:
    """A JPEG whose brightness tells the label, and its content the number."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 100, (3, 4, 3)) + 35 * (label % 5)
    buffer = io.BytesIO()
    Image.fromarray(coarse.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def files(count: int, classes: int = 4, first: int = 0) -> Files:
    """Pictures of sizes from 9 to 20 pixels."""
    labels = torch.arange(count) % classes
    sizes = [(9 + number % 12, 9 + number * 5 % 12) for number in range(count)]
    return Files(labels, [picture(first + n, int(labels[n]), *size) for n, size in enumerate(sizes)])


def streamed_dataset(size: int = 20, classes: int = 4, name: str = "files") -> StreamedDataset:
    """`size` images for training and half as many to test."""
    info = DatasetInfo(name, classes, None, size, size // 2, f"{name} {size}")
    train, test = files(size, classes), files(size // 2, classes, first=1000)
    return make_streamed_dataset(info, tuple("abcdefgh"[:classes]), train, test)
