"""Data sets of the user's own: a folder that the name ends in, and the memory that a split takes."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource
from kdbench.data.decode import OtherSize, bad_image
from kdbench.data.remember import State, remember, remembered, state_of
from kdbench.data.streamed import AnyDataset, StreamedDataset
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Images that a split may have, and bytes that it may take decoded.
MAX_IMAGES, MAX_SPLIT_BYTES = 5_000_000, 2**36


@dataclass(frozen=True)
class LocalFolder(DatasetSource):
    """A source that reads one folder, as in `NAME:DIR`. The loaded data set has its folder's name."""

    name: str
    folder: Path | None = None

    def with_argument(self, argument: str) -> DatasetSource:
        if not argument:
            raise self._no_folder()
        # `..` is taken out by its letters, so that a link to a folder keeps the link's name.
        folder = Path(os.path.normpath(paths.folder(argument).absolute()))
        return replace(self, name=f"{self.name}:{argument}", folder=folder)

    @property
    def label(self) -> str:
        return self.given.name

    @property
    def given(self) -> Path:
        """The folder. Raises `UserError` where none was named."""
        if self.folder is None:
            raise self._no_folder()
        return self.folder

    def locations(self, data_dir: Path | None) -> str:
        if self.folder is None:
            return f"no place of its own; name a folder, as in {self.name}:DIR"
        return f"{self.folder}: {'there' if self.folder.is_dir() else 'missing'}"

    def _no_folder(self) -> UserError:
        return UserError(f"data set '{self.name}' needs a folder; write {self.name}:DIR.")


class NotInMemory(UserError):
    """Images that are not square and of one size, or too many to be kept in memory: they can be streamed."""


def refused(where: object, reason: ValueError) -> UserError:
    """What to raise for an image that `where` lies and that was not decoded for that reason."""
    if isinstance(reason, OtherSize):
        return NotInMemory(f"{where}: {reason}; bring all images to one size.")
    return bad_image(where, reason)


@dataclass(frozen=True)
class RememberedFolder(LocalFolder):
    """Images that are kept in memory where they are square and of one size, and streamed where not.

    Which it is shows when they are decoded; it is remembered together with what they were found to be.
    """

    @abstractmethod
    def files(self) -> Iterable[str]:
        """The files that images and labels are read from. Raises `UserError` for a layout that it does not know."""

    @abstractmethod
    def read(self) -> Dataset:
        """The data set out of these files, decoded. Raises `NotInMemory` where it can only be streamed."""

    @abstractmethod
    def listed(self) -> StreamedDataset:
        """The same files listed alone."""

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return self.known(data_dir) or self.load(data_dir).info

    def known(self, data_dir: Path | None) -> DatasetInfo | None:
        return remembered(self._state())

    def load(self, data_dir: Path | None) -> AnyDataset:
        before = self._state()
        known = remembered(before)
        dataset = self.listed() if known and known.input_size is None else self._read()
        if self._state() == before:
            remember(before, dataset.info)
        return dataset

    def _read(self) -> AnyDataset:
        try:
            return self.read()
        except NotInMemory:
            return self.listed()

    def _state(self) -> State:
        files = self.files()
        try:
            return state_of(self.name.partition(":")[0], files)
        except OSError as error:
            raise UserError(
                f"{error.filename!s:.300} cannot be read ({error.strerror}); mend it or take it away."
            ) from error


def check_size(where: object, images: int) -> None:
    """Raises `UserError`, which begins with `where`, for a split of no images or of more than it may have."""
    if not 1 <= images <= MAX_IMAGES:
        raise UserError(f"{where} {images:,} images; a split must have from 1 to {MAX_IMAGES:,}.")


def empty_split(where: object, images: int, side: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Uninitialised images [N, side, side, 3] and labels [N]; raises `NotInMemory` for `where` if too large."""
    import numpy as np

    size = images * side * side * 3
    if size > MAX_SPLIT_BYTES:
        raise NotInMemory(
            f"{where}: its split has {images:,} images of {side}×{side}, over {MAX_SPLIT_BYTES:,} bytes; use fewer."
        )
    try:
        return np.empty((images, side, side, 3), np.uint8), np.empty(images, np.int64)
    except MemoryError as error:
        raise NotInMemory(f"{where}: its split takes {size / 1e9:.1f} GB of memory decoded; use fewer.") from error
