"""`parquet:DIR`: image classification data in the layout of Hugging Face's parquet files."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from kdbench.data.dataset import Dataset, DatasetInfo, Split, make_dataset
from kdbench.data.local import LocalFolder, check_size, empty_split
from kdbench.data.shard import Shard, open_shard
from kdbench.inputs.errors import UserError

#: Files that a split may have.
MAX_FILES = 10_000
#: How a file says that it is one of several.
PART = re.compile(r"-\d+-of-(\d+)")


@dataclass(frozen=True)
class Parquet(LocalFolder):
    """The files `train*.parquet` and `test*.parquet` (or `valid*.parquet`) of a folder or of its subfolder `data`.

    Columns: `image` or `img`, a struct with encoded `bytes`; `label` or `fine_label`, an integer. Class names are those
    of Hugging Face's schema metadata, or the numbers.
    """

    name: str = "parquet"

    def info(self, data_dir: Path | None) -> DatasetInfo:
        train, test = self._splits()
        classes, side = _class_names(train, test), train[0].first_side()
        train_size, test_size = (sum(shard.rows for shard in shards) for shards in (train, test))
        return DatasetInfo(self.label, len(classes), side, train_size, test_size)

    def load(self, data_dir: Path | None) -> Dataset:
        train, test = self._splits()
        classes, side = _class_names(train, test), train[0].first_side()
        return make_dataset(self.label, classes, _load(train, len(classes), side), _load(test, len(classes), side))

    def _splits(self) -> tuple[list[Shard], list[Shard]]:
        for place in (self.given, self.given / "data"):
            train, test = _files(place, "train"), _files(place, "test") or _files(place, "valid")
            if train and test:
                return _shards(train), _shards(test)
        raise UserError(
            f"data set '{self.name}': {self.given} and its subfolder data hold no train*.parquet with a test*.parquet "
            f"or valid*.parquet beside it; check the path."
        )


def _files(folder: Path, name: str) -> list[Path]:
    try:
        return sorted(folder.glob(f"{name}*.parquet"))
    # A path that the system cannot even look for.
    except (OSError, ValueError) as error:
        raise UserError(f"the folder of a data set cannot be read: {error!s:.200}; check the path.") from error


def _shards(paths: list[Path]) -> list[Shard]:
    if len(paths) > MAX_FILES:
        raise UserError(f"{paths[0]} and its like are {len(paths):,} files; a split may have {MAX_FILES:,}; join some.")
    _check_whole(paths)
    shards = [open_shard(path) for path in paths]
    check_size(f"{paths[0]} and its like have", sum(shard.rows for shard in shards))
    return [shard for shard in shards if shard.rows]


def _check_whole(paths: list[Path]) -> None:
    """Refuse a download that ended early: what is left of a split would train without a word."""
    there: Counter[tuple[str, int]] = Counter()
    for path in paths:
        if part := PART.search(path.name):
            there[path.name[: part.start()], int(part[1])] += 1
    for (name, count), found in there.items():
        if found < count:
            raise UserError(
                f"{paths[0].parent} has {found} of the {count} files {name}-…-of-{count:05}; download the others, or "
                "rename those that are there if no more are wanted."
            )


def _class_names(train: list[Shard], test: list[Shard]) -> tuple[str, ...]:
    """Class names, which all files must agree on, or the numbers up to the largest training label."""
    first = train[0]
    for shard in (*train, *test):
        if shard.names != first.names:
            raise UserError(f"{first.path} and {shard.path} name different classes; take both from one source.")
    if first.names:
        return first.names
    rows = sum(shard.rows for shard in train)
    largest = max(int(labels.max()) for shard in train for labels in shard.label_chunks())
    # A stray id among the labels must not become a million classes.
    if not 0 <= largest < rows:
        raise UserError(f"{first.path}: labels run up to {largest} in {rows:,} training rows; check the labels.")
    return tuple(str(number) for number in range(largest + 1))


def _load(shards: list[Shard], num_classes: int, side: int) -> Split:
    """Decode all rows of a split."""
    images, labels = empty_split(shards[0].path, sum(shard.rows for shard in shards), side)
    start = 0
    for shard in shards:
        rows = slice(start, start + shard.rows)
        shard.load_into(images[rows], labels[rows], num_classes)
        start += shard.rows
    return Split(torch.from_numpy(images), torch.from_numpy(labels))
