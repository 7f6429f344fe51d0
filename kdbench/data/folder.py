"""`folder:DIR` and `imagefolder:DIR`: image files in a folder for each class (`kdbench/data/class_folders.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdbench.data.class_folders import list_class_folders
from kdbench.data.dataset import Dataset, DatasetInfo, make_dataset
from kdbench.data.decode import decode, square_side
from kdbench.data.files import FileSplit
from kdbench.data.listing import Listing
from kdbench.data.local import LocalFolder, RememberedFolder, empty_split, refused
from kdbench.data.split import Split
from kdbench.data.streamed import StreamedDataset


@dataclass(frozen=True)
class ImageFolder(LocalFolder):
    """Images of any size and number, which are read when they are used."""

    name: str = "imagefolder"
    allow_empty: bool = False

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return self.listing().info(self.label)

    def load(self, data_dir: Path | None) -> StreamedDataset:
        found = self.listing()
        return found.dataset(found.info(self.label))

    def listing(self) -> Listing:
        """What lies in the folder."""
        return list_class_folders(self.given, self.name, allow_empty=self.allow_empty)


@dataclass(frozen=True)
class Folder(RememberedFolder):
    """The same images in memory where they are square and of one size, and as `imagefolder` has them where not."""

    name: str = "folder"
    allow_empty: bool = False

    def files(self) -> Iterator[str]:
        found = self._listing()
        for part in (found.train, found.test):
            yield from part.paths()
        yield from map(str, found.files)

    def read(self) -> Dataset:
        found = self._listing()
        train, test = found.train.split(), found.test.split()
        side = _side(train)
        return make_dataset(
            self.label, found.classes, _load(train, side), _load(test, side), own=True, notes=found.notes
        )

    def listed(self) -> StreamedDataset:
        found = self._listing()
        return found.dataset(found.info(self.label))

    def _listing(self) -> Listing:
        return list_class_folders(self.given, self.name, allow_empty=self.allow_empty)


def _side(files: FileSplit) -> int:
    """Height and width of the first image, from its header."""
    try:
        return square_side(files.read(0))
    except ValueError as error:
        raise refused(files.where(0), error) from error


def _load(files: FileSplit, side: int) -> Split:
    """Decode all images of a split."""
    import torch

    images, labels = empty_split(files.where(0), len(files), side)
    labels[:] = files.labels.numpy()
    for row in range(len(files)):
        try:
            images[row] = decode(files.read(row), side)
        except ValueError as error:
            raise refused(files.where(row), error) from error
    return Split(torch.from_numpy(images), torch.from_numpy(labels))
