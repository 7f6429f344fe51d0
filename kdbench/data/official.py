"""Data sets of image files that the field knows by name, in the layouts that they are published in."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from kdbench.data.dataset import DatasetInfo, data_root, told_apart
from kdbench.data.listing import Listing
from kdbench.data.local import LocalFolder
from kdbench.data.streamed import StreamedDataset
from kdbench.inputs.errors import UserError


@dataclass(frozen=True)
class OfficialFolder(LocalFolder):
    """`NAME:DIR`, or `NAME` alone for the folder of that name in the data folder; streamed.

    It is called NAME if classes and numbers of images are the official ones, which are known without it. Others, such
    as some of its classes, are somebody's own data.
    """

    official: ClassVar[DatasetInfo]

    @abstractmethod
    def listing(self, folder: Path) -> Listing:
        """What lies in the folder. Raises `UserError` for a layout that it does not know."""

    @abstractmethod
    def whole(self, classes: tuple[str, ...]) -> bool:
        """Whether these are all classes of the official data set."""

    @property
    def label(self) -> str:
        return self.official.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        if self.folder is None and not self.available(data_dir):
            return self.official
        return self._found(data_dir)[1]

    def load(self, data_dir: Path | None) -> StreamedDataset:
        found, info = self._found(data_dir)
        return found.dataset(info)

    def locations(self, data_dir: Path | None) -> str:
        place = self._place(data_dir)
        missing = f"missing; put the data there, or name their folder, as in {self.official.name}:DIR"
        return f"{place}: {'there' if place.is_dir() else missing}"

    def available(self, data_dir: Path | None) -> bool:
        return self._place(data_dir).is_dir()

    def _place(self, data_dir: Path | None) -> Path:
        return self.folder or data_root(data_dir) / self.official.name

    def _found(self, data_dir: Path | None) -> tuple[Listing, DatasetInfo]:
        """What lies there, and what is known of it. Files count by their own names, whatever folders they lie in."""
        place = self._place(data_dir)
        if not place.is_dir():
            raise UserError(
                f"data set '{self.name}' is not in {place}; name its folder, as in {self.official.name}:DIR, or put it "
                "there."
            )
        # ValueError: a path that the system cannot even look for.
        try:
            found = self.listing(place)
        except (OSError, ValueError) as error:
            raise UserError(f"the folder of a data set cannot be read: {error!s:.200}; check the path.") from error
        checksum = found.checksum(called=lambda path: path.rpartition("/")[2])
        sizes = len(found.classes), len(found.train), len(found.test)
        whole = self.official
        if sizes == (whole.num_classes, whole.train_size, whole.test_size) and self.whole(found.classes):
            return found, replace(whole, checksum=checksum)
        name = told_apart(place.name, checksum)
        note = (
            f"this is not the whole of {whole.name} ({whole.train_size:,} training and {whole.test_size:,} test images "
            f"of {whole.num_classes} classes), so it is called {name}"
        )
        info = replace(whole, name=name, num_classes=sizes[0], train_size=sizes[1], test_size=sizes[2])
        return replace(found, notes=(*found.notes, note)), replace(info, checksum=checksum)
