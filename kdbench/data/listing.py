"""A data set of image files as it is listed: known by names, sizes and labels, without reading any of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kdbench.data.dataset import DatasetInfo, told_apart
from kdbench.data.files import ImageFiles
from kdbench.data.streamed import StreamedDataset, make_streamed_dataset


@dataclass(frozen=True)
class Listing:
    """What lies on disk: both parts, other `files` that say something of them, and sentences on what was found."""

    classes: tuple[str, ...]
    train: ImageFiles
    test: ImageFiles
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def checksum(self, called: Callable[[str], str] = str) -> str:
        """sha256 over both parts: the number of images, then size, label and name of each in order, a zero byte behind.

        `called` makes of a file's path what counts as its name.
        """
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(f"{len(part)}\0".encode())
            for name, size, label in part.rows():
                digest.update(f"{size} {label} {called(name)}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def info(self, label: str) -> DatasetInfo:
        """What is known of somebody's own data; `label` is what their folder is called."""
        checksum = self.checksum()
        name = told_apart(label, checksum)
        return DatasetInfo(name, len(self.classes), None, len(self.train), len(self.test), checksum)

    def dataset(self, info: DatasetInfo) -> StreamedDataset:
        """The data set, whose images are read when they are used."""
        train, test = self.train.split(), self.test.split()
        return make_streamed_dataset(info, self.classes, train, test, notes=self.notes)
