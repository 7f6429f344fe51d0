"""Image files of one part of a data set, listed: what they are called, how large they are, and their labels."""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.data.decode import MAX_BYTES
from kdbench.data.streamed import ImageSplit
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

#: Endings of files that are taken for images, in any case: those of torchvision's ImageFolder.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class ImageFiles:
    """Files below the folder `root`, in a few bytes each: a million of them must not fill the memory."""

    root: str
    names: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    labels: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, name: str, size: int, label: int) -> None:
        """One more file: its path below `root`, with `/` between folders, its bytes, and its label."""
        self.names.extend(os.fsencode(name))
        self.ends.append(len(self.names))
        self.sizes.append(size)
        self.labels.append(label)

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Name, size and label of each file."""
        start = 0
        for end, size, label in zip(self.ends, self.sizes, self.labels, strict=True):
            yield os.fsdecode(bytes(self.names[start:end])), size, label
            start = end

    def paths(self) -> Iterator[str]:
        """Where each file lies."""
        return (os.path.join(self.root, name) for name, *_ in self.rows())  # noqa: PTH118  (a million of them)

    def split(self) -> FileSplit:
        """The same as a split, which shares this memory."""
        import torch

        names = torch.frombuffer(self.names, dtype=torch.uint8)
        ends, sizes, labels = (
            torch.frombuffer(values, dtype=torch.int64) for values in (self.ends, self.sizes, self.labels)
        )
        return FileSplit(self.root, names, ends, sizes, labels)


@dataclass(frozen=True, eq=False)
class FileSplit(ImageSplit):
    """Image files below `root`; their names are bytes of one tensor, which worker processes share.

    `names` is uint8; `ends`, where each name ends in it, `sizes` in bytes, and `labels` are int64 [N].
    """

    root: str
    names: Tensor
    ends: Tensor
    sizes: Tensor
    labels: Tensor

    def read(self, index: int) -> bytes:
        path, size = Path(self.where(index)), int(self.sizes[index])
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
                raise UserError(f"{path} is no file; mend it or take it away.")
            if found.st_size != size:
                raise UserError(f"{path} has {found.st_size:,} bytes, and had {size:,} when it was listed; run again.")
            with path.open("rb") as file:
                # One more than are decoded: a longer file is refused as such.
                return file.read(min(size, MAX_BYTES) + 1)
        except OSError as error:
            raise UserError(f"{path!s:.300} cannot be read ({error.strerror}); mend it or take it away.") from error

    def name(self, index: int) -> str:
        start = int(self.ends[index - 1]) if index else 0
        return os.fsdecode(self.names[start : int(self.ends[index])].numpy().tobytes())

    def where(self, index: int) -> str:
        return os.path.join(self.root, self.name(index))  # noqa: PTH118


def add_file(files: ImageFiles, name: str, label: int) -> None:
    """Add a file by its path below the root. Raises `UserError` where there is none."""
    path = os.path.join(files.root, name)  # noqa: PTH118
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise UserError(f"{path!s:.300} cannot be read ({reason}); mend it or take it away.") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path!s:.300} is no file; mend it or take it away.")
    files.add(name, found.st_size, label)
