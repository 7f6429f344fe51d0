"""`parquet:DIR`: image classification data in the layout of Hugging Face's parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench.data.dataset import Dataset, make_dataset
from kdbench.data.local import LocalFolder, check_size, empty_split
from kdbench.data.parquet_files import find_files
from kdbench.data.shard import NoLabels, Shard, open_shard
from kdbench.data.split import Split
from kdbench.inputs.errors import UserError


@dataclass(frozen=True)
class Parquet(LocalFolder):
    """The files `train*.parquet` and `test*.parquet` (or `validation*`, `valid*`, `val*`) of a folder, of its subfolder
    `data` or of its only configuration, or the files in folders of these names.

    Columns: `image` or `img`, a struct with encoded `bytes`; `label` or `fine_label`, an integer. Class names are those
    of Hugging Face's schema metadata, or the numbers. Test images without labels are passed over for validation ones.
    """

    name: str = "parquet"

    def files(self) -> list[Path]:
        found = find_files(self.given, self.name)
        return [*found.train, *(path for paths in found.held_out.values() for path in paths)]

    def read(self) -> Dataset:
        found = read_parquet(self.given, self.name)
        return make_dataset(self.label, found.classes, found.train, found.test, own=True, notes=found.notes)


@dataclass(frozen=True)
class Read:
    """What a folder of parquet files holds."""

    classes: tuple[str, ...]
    train: Split
    test: Split
    notes: tuple[str, ...]


def read_parquet(folder: Path, spec: str) -> Read:
    """Both splits of a folder; `spec` is what the user called it. Raises `UserError` for whatever cannot be read."""
    files = find_files(folder, spec)
    train = _shards(files.train)
    held_out, test, unlabelled = _labelled(files.held_out)
    classes, side = _class_names(train, test), train[0].first_side()
    of_test = files.held_out[held_out]
    notes = [f"read from {files.place}: {_named(files.train)} for training, {_named(of_test)} for testing", *unlabelled]
    return Read(classes, _load(train, len(classes), side), _load(test, len(classes), side), tuple(notes))


def _labelled(held_out: dict[str, list[Path]]) -> tuple[str, list[Shard], list[str]]:
    """Name and files of the first held-out split that has labels, and a sentence on each that has none."""
    unlabelled: list[str] = []
    for name, paths in held_out.items():
        try:
            shards = _shards(paths)
        except NoLabels:
            unlabelled.append(f"{paths[0].name} has no labels and is left out")
            continue
        if any(int(labels.max()) >= 0 for shard in shards for labels in shard.label_chunks(empty=-1) if len(labels)):
            return name, shards, unlabelled
        unlabelled.append(f"{paths[0].name} has no label from 0 and is left out")
    first = next(iter(held_out.values()))[0]
    raise UserError(
        f"{first.parent}: no held-out images have labels ({'; '.join(unlabelled)}); put a labelled split there, "
        "such as validation*.parquet."
    )


def _named(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{paths[0].name} and {len(paths) - 1} more"


def _shards(paths: list[Path]) -> list[Shard]:
    shards = [open_shard(path) for path in paths]
    check_size(f"{paths[0]} and its like have", sum(shard.rows for shard in shards))
    return [shard for shard in shards if shard.rows]


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
    import torch

    images, labels = empty_split(shards[0].path, sum(shard.rows for shard in shards), side)
    start = 0
    for shard in shards:
        rows = slice(start, start + shard.rows)
        shard.load_into(images[rows], labels[rows], num_classes)
        start += shard.rows
    return Split(torch.from_numpy(images), torch.from_numpy(labels))
