"""`parquet:DIR`: image classification data in the layout of Hugging Face's parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdbench.data.dataset import Dataset, DatasetInfo, make_dataset, told_apart
from kdbench.data.local import RememberedFolder, check_size, empty_split
from kdbench.data.parquet_files import find_files
from kdbench.data.parquet_split import MANY_ROWS, ParquetSplit, parquet_checksum
from kdbench.data.shard import NoLabels, Shard, open_shard
from kdbench.data.split import Split
from kdbench.data.streamed import StreamedDataset, make_streamed_dataset
from kdbench.inputs.errors import UserError


@dataclass(frozen=True)
class Parquet(RememberedFolder):
    """The files `train*.parquet` and `test*.parquet` (or `validation*`, `valid*`, `val*`) of a folder, of its subfolder
    `data` or of its only configuration, or the files in folders of these names.

    Columns: `image` or `img`, a struct with encoded `bytes`; `label` or `fine_label`, an integer. Class names are those
    of Hugging Face's schema metadata, or the numbers. Test images without labels are passed over for validation ones.
    """

    name: str = "parquet"

    def files(self) -> list[str]:
        found = find_files(self.given, self.name)
        return [str(path) for paths in (found.train, *found.held_out.values()) for path in paths]

    def read(self) -> Dataset:
        found = find_parquet(self.given, self.name)
        return make_dataset(self.label, found.classes, *found.decoded(), own=True, notes=found.notes)

    def listed(self) -> StreamedDataset:
        found = find_parquet(self.given, self.name)
        train, test = found.splits()
        checksum, classes = parquet_checksum(train, test), found.classes
        info = DatasetInfo(told_apart(self.label, checksum), len(classes), None, len(train), len(test), checksum)
        notes = [*found.notes]
        if (rows := max(train.most_rows, test.most_rows)) > MANY_ROWS:
            notes.append(
                f"row groups have up to {rows:,} rows, and one image takes the reading of its group: write the files "
                "with row_group_size=100 if reading is slow"
            )
        return make_streamed_dataset(info, classes, train, test, notes=notes)


@dataclass(frozen=True)
class Found:
    """What a folder of parquet files holds, below `place`."""

    place: Path
    classes: tuple[str, ...]
    train: list[Shard]
    test: list[Shard]
    notes: tuple[str, ...]

    def decoded(self) -> tuple[Split, Split]:
        """Both splits in memory. Raises `NotInMemory` for images that are not square and of one size."""
        side = self.train[0].first_side()
        return _load(self.train, len(self.classes), side), _load(self.test, len(self.classes), side)

    def splits(self) -> tuple[ParquetSplit, ParquetSplit]:
        """Both splits listed."""
        return self._listed(self.train), self._listed(self.test)

    def _listed(self, shards: list[Shard]) -> ParquetSplit:
        import torch

        labels = torch.cat([torch.from_numpy(shard.all_labels(len(self.classes))) for shard in shards])
        # Names of classes are not needed with every file, in every worker process.
        return ParquetSplit(self.place, tuple(replace(shard, names=None) for shard in shards), labels)


def find_parquet(folder: Path, spec: str) -> Found:
    """What a folder holds; `spec` is what the user called it. Raises `UserError` for whatever cannot be read."""
    files = find_files(folder, spec)
    train = _shards(files.train)
    held_out, test, unlabelled = _labelled(files.held_out)
    of_test = files.held_out[held_out]
    notes = [f"read from {files.place}: {_named(files.train)} for training, {_named(of_test)} for testing", *unlabelled]
    return Found(files.place, _class_names(train, test), train, test, tuple(notes))


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
