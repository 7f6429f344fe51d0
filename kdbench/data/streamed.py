"""Data sets that are read from their files while they are trained on: images of any size, and any number of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbench.data.dataset import Dataset, DatasetInfo, check_classes, check_labels, empty_classes
from kdbench.data.decode import bad_image, decode_rgb
from kdbench.data.known import Channels
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

#: Mean and std of ImageNet's training images, which the field normalises images of any size with.
IMAGENET_STATISTICS: tuple[Channels, Channels] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ImageSplit(ABC):
    """The images of one part of a data set, listed but not read.

    `labels` are int64 [N]. Loaders send a split to their worker processes, so it is pickled and should stay small:
    where images lie, not what they hold.
    """

    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded image. Raises `UserError`, which names it, if it cannot be read."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What the image is called in its data set, such as its path below the data set's folder."""

    def where(self, index: int) -> str:
        """Where the image lies, for messages; its name, unless overridden."""
        return self.name(index)

    def decode(self, index: int) -> Image:
        """The image in Pillow's mode RGB. Raises `UserError`, which names it, if it cannot be read or decoded."""
        try:
            return decode_rgb(self.read(index))
        except ValueError as error:
            raise bad_image(self.where(index), error) from error


class Part(ImageSplit):
    """Some images of another split: those at `positions`, int64 [N], in that order."""

    def __init__(self, whole: ImageSplit, positions: Tensor):
        self.labels = whole.labels[positions]
        self._whole = whole
        self._positions = positions

    def read(self, index: int) -> bytes:
        return self._whole.read(int(self._positions[index]))

    def name(self, index: int) -> str:
        return self._whole.name(int(self._positions[index]))

    def where(self, index: int) -> str:
        return self._whole.where(int(self._positions[index]))


@dataclass(frozen=True)
class StreamedDataset:
    """A listed data set, beside the resident `Dataset`; `make_streamed_dataset` builds one.

    `info.input_size` is None: the recipe says how images of any size meet. `info.checksum` is over what was listed
    (names, sizes, labels), not over contents. Raises `UserError` where a split contradicts `info`.
    """

    info: DatasetInfo
    classes: tuple[str, ...]
    train: ImageSplit
    test: ImageSplit
    mean: Channels
    std: Channels
    notes: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """`info.checksum`, which a listed data set has."""
        assert self.info.checksum is not None
        return self.info.checksum

    def __post_init__(self) -> None:
        check_classes(self.info, self.classes)
        for name, split, size in (
            ("train", self.train, self.info.train_size),
            ("test", self.test, self.info.test_size),
        ):
            check_labels(self.info, name, split.labels, size)


def make_streamed_dataset(
    info: DatasetInfo,
    classes: tuple[str, ...],
    train: ImageSplit,
    test: ImageSplit,
    statistics: tuple[Channels, Channels] = IMAGENET_STATISTICS,
    *,
    notes: Sequence[str] = (),
) -> StreamedDataset:
    """A data set from its two listed splits; `info.checksum` must be there.

    `statistics` are mean and std of the channels on [0, 1]: ImageNet's, since nothing is decoded to find others.
    `notes` go before a sentence on classes without images. Raises `UserError` for splits that contradict each other,
    `info` or the classes.
    """
    found = empty_classes(classes, train.labels, test.labels)
    return StreamedDataset(info, classes, train, test, *statistics, notes=(*notes, *found))


AnyDataset = Dataset | StreamedDataset


def resident(dataset: AnyDataset) -> Dataset:
    """The same data set. Raises `UserError` for one that is streamed, where images must be in memory."""
    if isinstance(dataset, Dataset):
        return dataset
    raise UserError(
        f"data set '{dataset.info.name}' is streamed from its files, and this works with images in memory only; name "
        "one of small square images of one size."
    )
