"""What a data set is to the harness, and where it comes from."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kdbench.data.known import Channels, known_by
from kdbench.inputs.errors import UserError


@dataclass(frozen=True)
class Split:
    """Images, uint8 [N, H, W, 3], and labels, int64 [N]."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Split:
        """The same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it; `input_size` is height and width in pixels."""

    name: str
    num_classes: int
    input_size: int
    train_size: int
    test_size: int


@dataclass(frozen=True)
class Dataset:
    """A loaded data set; `make_dataset` builds one.

    `mean` and `std` of each channel are on [0, 1]; `checksum` is the sha256 of the decoded images and labels of both
    splits, so the same data under another path have the same one. Raises `UserError` where a split contradicts `info`.
    """

    info: DatasetInfo
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: Channels
    std: Channels
    checksum: str

    def __post_init__(self) -> None:
        if len(self.classes) != self.info.num_classes:
            raise self._wrong("classes", f"{len(self.classes)} names", f"{self.info.num_classes}")
        self._check("train", self.train, self.info.train_size)
        self._check("test", self.test, self.info.test_size)

    def _check(self, name: str, split: Split, size: int) -> None:
        side = self.info.input_size
        for what, tensor, dtype, shape in (
            ("images", split.images, torch.uint8, [size, side, side, 3]),
            ("labels", split.labels, torch.int64, [size]),
        ):
            if tensor.dtype != dtype or list(tensor.shape) != shape:
                raise self._wrong(f"{name} {what}", f"{tensor.dtype} {list(tensor.shape)}", f"{dtype} {shape}")
        if not size:
            raise self._wrong(f"{name} images", "none", "at least one")
        low, high = (int(bound) for bound in split.labels.aminmax())
        if low < 0 or high >= self.info.num_classes:
            raise self._wrong(f"{name} labels", f"from {low} to {high}", f"within 0..{self.info.num_classes - 1}")

    def _wrong(self, what: str, found: str, wanted: str) -> UserError:
        return UserError(f"data set '{self.info.name}': {what} are {found}, but must be {wanted}; mend its source.")


def make_dataset(
    name: str, classes: tuple[str, ...], train: Split, test: Split, statistics: tuple[Channels, Channels] | None = None
) -> Dataset:
    """A data set from its two splits.

    `statistics` are mean and std of the channels on [0, 1]; they are computed from the training images where not given.
    Splits that are those of a known data set have its name and its statistics.
    Raises `UserError` for splits that contradict each other or the classes, and for a channel without any contrast.
    """
    checksum = content_checksum(train, test)
    if known := known_by(checksum):
        name, statistics = known.name, known.statistics
    info = DatasetInfo(name, len(classes), train.images.shape[1], len(train.labels), len(test.labels))
    mean, std = statistics or channel_statistics(train.images)
    if min(std) <= 0:
        raise UserError(f"data set '{name}': a channel of its training images is constant; check how they were made.")
    return Dataset(info, classes, train, test, mean, std, checksum)


def channel_statistics(images: Tensor) -> tuple[Channels, Channels]:
    """Mean and population std of each channel of uint8 images [N, H, W, 3], on [0, 1]."""
    counts = torch.zeros(3, 256, dtype=torch.int64)
    # In parts, because bincount works on a copy.
    for start in range(0, len(images), 4096):
        for channel in range(3):
            counts[channel] += torch.bincount(images[start : start + 4096, ..., channel].flatten(), minlength=256)
    values = torch.arange(256)
    pixels = int(counts[0].sum())
    # In whole numbers up to the last division, so the order and number of the images leave no rounding behind.
    sums = [int((row * values).sum()) for row in counts]
    squares = [int((row * values.square()).sum()) for row in counts]
    red, green, blue = (total / (pixels * 255) for total in sums)
    deviations = (
        max(pixels * square - total * total, 0) ** 0.5 / (pixels * 255)
        for total, square in zip(sums, squares, strict=True)
    )
    std_red, std_green, std_blue = deviations
    return (red, green, blue), (std_red, std_green, std_blue)


def content_checksum(train: Split, test: Split) -> str:
    """sha256 over shapes, images and labels of both splits, in hexadecimal."""
    digest = hashlib.sha256()
    for split in (train, test):
        digest.update(repr(tuple(split.images.shape)).encode())
        digest.update(split.images.contiguous().numpy().data)
        digest.update(split.labels.numpy().astype("<i8").data)
    return digest.hexdigest()


class DatasetSource(ABC):
    """Where a data set comes from. A plugin registers instances through the hook `kdbench_datasets`."""

    #: What recipes and commands call it.
    name: str

    @property
    def label(self) -> str:
        """What records and tables call the loaded data set; `name`, unless overridden."""
        return self.name

    @abstractmethod
    def info(self, data_dir: Path | None) -> DatasetInfo:
        """Name and sizes, without decoding pixels; `data_dir` is the folder of data sets, None for the default one."""

    @abstractmethod
    def load(self, data_dir: Path | None) -> Dataset:
        """The data set on the CPU. Raises `UserError` where it is missing or damaged."""

    @abstractmethod
    def locations(self, data_dir: Path | None) -> str:
        """Where it looks and whether it is there, in words."""

    def available(self, data_dir: Path | None) -> bool:
        """Whether `load` finds the data on this machine, without a download."""
        return True

    def with_argument(self, argument: str) -> DatasetSource:
        """The source that `name:argument` means. Raises `UserError` for a source that takes no argument."""
        raise UserError(f"data set '{self.name}' takes no argument, but got '{argument}'; write just '{self.name}'.")


def data_root(data_dir: Path | None) -> Path:
    """The folder of data sets: `data_dir`, else the variable KDBENCH_DATA, else ~/.cache/kdbench/data."""
    return Path(data_dir or os.environ.get("KDBENCH_DATA") or Path("~/.cache/kdbench/data")).expanduser()
