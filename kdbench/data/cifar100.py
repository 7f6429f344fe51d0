"""`cifar100`: CIFAR-100 from whatever files people have of it, known by its content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kdbench.data.cifar100_files import Unreadable, contents, from_binary, from_pickle, members
from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, data_root, make_dataset
from kdbench.data.download import NotDownloaded, download
from kdbench.data.known import CIFAR100, Known
from kdbench.data.parquet import find_parquet
from kdbench.data.resemblance import unlike
from kdbench.data.split import Split, content_checksum
from kdbench.inputs.errors import UserError

PYTHON, BINARY = "cifar-100-python", "cifar-100-binary"
BATCHES = ("train", "test")
BINARIES = ("train.bin", "test.bin")
_DEEP = ("*.parquet", "*/*.parquet", "*/*/*.parquet")
#: Where its parquet files are looked for: in the folder of data sets itself, or in one of its own there.
PARQUET = {".": ("*.parquet", "data/*.parquet"), "cifar100": _DEEP, "cifar-100": _DEEP}
Batches = list[bytes]
#: More than the archive has.
MAX_DOWNLOAD = 200_000_000


@dataclass(frozen=True)
class Official:
    """The data set, and the Python version of it: where its archive is, and the md5 of that and of its two batches."""

    known: Known
    url: str
    archive_md5: str
    batch_md5s: tuple[str, str]


#: The md5s are those that torchvision checks.
OFFICIAL = Official(
    CIFAR100,
    f"https://www.cs.toronto.edu/~kriz/{PYTHON}.tar.gz",
    "eb9058c3a382ffc7106e4002c42a8d85",
    ("16019d7e3df5f24257cddd939b257f8d", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
)


@dataclass(frozen=True)
class Door:
    """A file or folder that may hold the data, and how it is read. `read` raises `Unreadable`."""

    path: Path
    read: Callable[[Path], tuple[Split, Split]]


@dataclass(frozen=True)
class Cifar100(DatasetSource):
    """50,000 training and 10,000 test images of 100 classes, 32×32.

    The data folder holds the Python or the binary version, as an archive or unpacked, or parquet files; the first of
    these that is there is read. Where none is, the Python version's archive is downloaded, unless the variable
    KDBENCH_OFFLINE is set. What does not have CIFAR-100's content is refused.
    """

    official: Official = OFFICIAL
    name: str = CIFAR100.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        known = self.official.known
        sizes = known.train.size, known.test.size
        return DatasetInfo(known.name, len(known.classes), known.side, *sizes, known.checksum)

    def load(self, data_dir: Path | None) -> Dataset:
        door = self._door(data_dir) or self._downloaded(data_root(data_dir))
        known = self.official.known
        try:
            train, test = door.read(door.path)
        except Unreadable as why:
            raise UserError(f"CIFAR-100: {door.path}: {why}; mend it or delete it, and run again.") from why
        if content_checksum(train, test) != known.checksum:
            why_not = unlike(known, train, test) or "neither split has anything of it"
            raise UserError(
                f"{door.path} is not CIFAR-100: {why_not}; put the genuine files there, or name these as data of your "
                "own (folder:DIR, parquet:DIR)."
            )
        return make_dataset(known.name, known.classes, train, test, known.statistics, notes=[f"read from {door.path}"])

    def locations(self, data_dir: Path | None) -> str:
        door = self._door(data_dir)
        return f"{door.path}: there" if door else f"missing; {self._wanted(data_root(data_dir))}"

    def available(self, data_dir: Path | None) -> bool:
        return self._door(data_dir) is not None

    def _door(self, data_dir: Path | None) -> Door | None:
        """The first door whose file or folder is there. Raises `UserError` where that may not be looked for."""
        try:
            return next(self._doors(data_root(data_dir)), None)
        except OSError as error:  # a folder in it that may not be entered
            raise UserError(
                f"CIFAR-100: {error.filename} cannot be looked for ({error.strerror}); mend that, or name another data "
                "folder."
            ) from error

    def _doors(self, root: Path) -> Iterator[Door]:
        for folder, names, decode in ((PYTHON, BATCHES, self._pickled), (BINARY, BINARIES, self._binary)):
            for place in (root, root / folder):
                if any((place / name).is_file() for name in names):
                    yield Door(place, partial(_read, contents, names, decode))
            if (archive := root / f"{folder}.tar.gz").is_file():
                yield Door(archive, partial(_read, members, [f"{folder}/{name}" for name in names], decode))
        for name, patterns in PARQUET.items():
            if any(path for pattern in patterns for path in (root / name).glob(pattern)):
                yield Door(root / name, _parquet)

    def _pickled(self, batches: Batches) -> tuple[Split, Split]:
        (train, test), known = batches, self.official.known
        of_train, of_test = self.official.batch_md5s
        return from_pickle(train, known.train.size, of_train), from_pickle(test, known.test.size, of_test)

    def _binary(self, batches: Batches) -> tuple[Split, Split]:
        (train, test), known = batches, self.official.known
        return from_binary(train, known.train.size), from_binary(test, known.test.size)

    def _downloaded(self, root: Path) -> Door:
        archive = root / f"{PYTHON}.tar.gz"
        if os.environ.get("KDBENCH_OFFLINE"):
            raise self._missing(root, "KDBENCH_OFFLINE forbids the download")
        try:
            download(self.official.url, archive, md5=self.official.archive_md5, most=MAX_DOWNLOAD)
        except NotDownloaded as error:
            raise self._missing(root, error.reason) from error
        except OSError as error:
            raise self._missing(root, f"it cannot be downloaded: {error}") from error
        return next(self._doors(root))

    def _missing(self, root: Path, reason: str) -> UserError:
        return UserError(f"CIFAR-100 is not in {root} ({reason}); {self._wanted(root)}, and run again.")

    def _wanted(self, root: Path) -> str:
        return (
            f"put one of these into {root}: {PYTHON}.tar.gz (md5 {self.official.archive_md5}) or its folder, "
            f"{BINARY}.tar.gz or its folder, or parquet files train*.parquet and test*.parquet"
        )


def _read(
    fetch: Callable[[Path, Sequence[str]], Batches],
    names: Sequence[str],
    decode: Callable[[Batches], tuple[Split, Split]],
    path: Path,
) -> tuple[Split, Split]:
    return decode(fetch(path, names))


def _parquet(place: Path) -> tuple[Split, Split]:
    return find_parquet(place, f"parquet:{place}").decoded()
