"""What a data set is to the harness, and where it comes from."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.data.known import KNOWN, Channels, known_by
from kdbench.data.resemblance import resemblance
from kdbench.data.split import Split, content_checksum
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdbench.data.streamed import AnyDataset

#: What tells data of one name apart.
_DIGITS = re.compile(r"@[0-9a-f]{8}")
#: How many classes a sentence names.
NAMED = 5


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it.

    `input_size` is height and width of every image in pixels, None for images of any size, which the recipe brings to
    one. `checksum` is the sha256 of the decoded images and labels of both splits, or of a streamed data set's names,
    sizes and labels; None where it is not known. It tells data apart, whatever they are called and wherever they lie.
    """

    name: str
    num_classes: int
    input_size: int | None
    train_size: int
    test_size: int
    checksum: str | None = None

    @property
    def side(self) -> int:
        """`input_size`. Raises `UserError` where only a recipe can say it."""
        if self.input_size is None:
            raise UserError(
                f"data set '{self.name}' has images of several sizes; say to which one they are brought, as in --set "
                "recipe.augmentation.size=224."
            )
        return self.input_size


@dataclass(frozen=True)
class Dataset:
    """A loaded data set; `make_dataset` builds one.

    `mean` and `std` of each channel are on [0, 1]; `notes` are sentences on what was read, and on what was not and why.
    Raises `UserError` where a split contradicts `info`.
    """

    info: DatasetInfo
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: Channels
    std: Channels
    notes: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """`info.checksum`, which a loaded data set has."""
        assert self.info.checksum is not None
        return self.info.checksum

    def __post_init__(self) -> None:
        import torch

        check_classes(self.info, self.classes)
        side = self.info.side
        for name, split, size in (
            ("train", self.train, self.info.train_size),
            ("test", self.test, self.info.test_size),
        ):
            _check(self.info, f"{name} images", split.images, torch.uint8, [size, side, side, 3])
            check_labels(self.info, name, split.labels, size)


def check_classes(info: DatasetInfo, classes: Sequence[str]) -> None:
    """Raises `UserError` for names of classes that are not as many as `info` says."""
    if len(classes) != info.num_classes:
        raise _wrong(info, "classes", f"{len(classes)} names", f"{info.num_classes}")


def check_labels(info: DatasetInfo, split: str, labels: Tensor, size: int) -> None:
    """Raises `UserError` for labels of a split that are not int64 [size], none, or not within the classes."""
    import torch

    _check(info, f"{split} labels", labels, torch.int64, [size])
    if not size:
        raise _wrong(info, f"{split} images", "none", "at least one")
    low, high = (int(bound) for bound in labels.aminmax())
    if low < 0 or high >= info.num_classes:
        raise _wrong(info, f"{split} labels", f"from {low} to {high}", f"within 0..{info.num_classes - 1}")


def _check(info: DatasetInfo, what: str, tensor: Tensor, dtype: torch.dtype, shape: list[int]) -> None:
    if tensor.dtype != dtype or list(tensor.shape) != shape:
        raise _wrong(info, what, f"{tensor.dtype} {list(tensor.shape)}", f"{dtype} {shape}")


def _wrong(info: DatasetInfo, what: str, found: str, wanted: str) -> UserError:
    return UserError(f"data set '{info.name}': {what} are {found}, but must be {wanted}; mend its source.")


def make_dataset(
    name: str,
    classes: tuple[str, ...],
    train: Split,
    test: Split,
    statistics: tuple[Channels, Channels] | None = None,
    *,
    own: bool = False,
    notes: Sequence[str] = (),
) -> Dataset:
    """A data set from its two splits.

    `statistics` are mean and std of the channels on [0, 1]; they are computed from the training images where not given.
    `own` data are a user's, whose name may be that of other data as well: the checksum's first digits go behind it.
    Splits that are those of a known data set have its name, its classes and its statistics. `notes` go before what is
    found here: classes without images, and a likeness to a known data set.
    Raises `UserError` for splits that contradict each other or the classes, for fewer than two classes, and for a
    channel without any contrast.
    """
    checksum = content_checksum(train, test)
    if known := known_by(checksum):
        name, classes, statistics = known.name, known.classes, known.statistics
    elif own:
        name = told_apart(name, checksum)
    info = DatasetInfo(name, len(classes), train.images.shape[1], len(train.labels), len(test.labels), checksum)
    if len(classes) < 2:
        raise UserError(
            f"data set '{name}' has {len(classes)} class, and two are needed to tell any apart; add another."
        )
    mean, std = statistics or channel_statistics(train.images)
    if min(std) <= 0:
        raise UserError(f"data set '{name}': a channel of its training images is constant; check how they were made.")
    dataset = Dataset(info, classes, train, test, mean, std)
    likeness = None if known else resemblance(train, test, KNOWN)
    found = ([likeness] if likeness else []) + empty_classes(classes, train.labels, test.labels)
    return replace(dataset, notes=(*notes, *found))


def told_apart(name: str, checksum: str) -> str:
    """The name of a user's own data: no other data have it, and no registered data set can."""
    return f"{name}@{checksum[:8]}"


def called(name: str) -> str:
    """A data set's name without what `told_apart` put behind it: others may be called so too."""
    return _DIGITS.sub("", name)


def empty_classes(classes: Sequence[str], train: Tensor, test: Tensor) -> list[str]:
    """A sentence on each split that lacks images of some classes."""
    import torch

    found = []
    for which, labels in (("training", train), ("test", test)):
        there = torch.bincount(labels, minlength=len(classes)).tolist()
        if empty := [f"{name} (label {label})" for label, name in enumerate(classes) if not there[label]]:
            more = f" and {len(empty) - NAMED} more" if len(empty) > NAMED else ""
            found.append(f"classes without a {which} image: {', '.join(empty[:NAMED])}{more}")
    return found


def channel_statistics(images: Tensor) -> tuple[Channels, Channels]:
    """Mean and population std of each channel of uint8 images [N, H, W, 3], on [0, 1]."""
    import torch

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


class DatasetSource(ABC):
    """Where a data set comes from. A plugin registers instances through the hook `kdbench_datasets`."""

    #: What recipes and commands call it.
    name: str

    @property
    def label(self) -> str:
        """What titles call the data set; `name`, unless overridden."""
        return self.name

    @abstractmethod
    def info(self, data_dir: Path | None) -> DatasetInfo:
        """Name and sizes, and the checksum of data that are always the same.

        `data_dir` is the folder of data sets, None for the default one. A user's own data, whose name follows from
        their content, may have to be decoded.
        """

    def known(self, data_dir: Path | None) -> DatasetInfo | None:
        """The same without decoding anything; None where loading alone tells."""
        return self.info(data_dir)

    @abstractmethod
    def load(self, data_dir: Path | None) -> AnyDataset:
        """The data set on the CPU, in memory or listed. Raises `UserError` where it is missing or damaged."""

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
    """The folder of data sets: `data_dir`, else the variable KDBENCH_DATA, else `data` in kdbench's cache folder."""
    given = os.environ.get("KDBENCH_DATA")
    return data_dir or (paths.folder(given) if given else paths.cache_folder() / "data")
