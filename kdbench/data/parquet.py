"""`parquet:DIR`: image classification data in the layout of Hugging Face's parquet files.

Rows are counted from 0 in messages.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, Split, make_dataset
from kdbench.data.decode import decode, image_side
from kdbench.errors import UserError

#: Rows that a split may have.
MAX_ROWS = 5_000_000
#: Files that a split may have.
MAX_FILES = 10_000
#: Bytes that a row group's column may have decompressed, and a split decoded.
MAX_GROUP_BYTES, MAX_SPLIT_BYTES = 2**30, 2**36
#: Rows held encoded at a time, and the bytes that they may take.
CHUNK, CHUNK_BYTES = 1024, 2**29
#: How a file says that it is one of several.
PART = re.compile(r"-\d+-of-(\d+)")


@dataclass(frozen=True)
class Parquet(DatasetSource):
    """The files `train*.parquet` and `test*.parquet` (or `valid*.parquet`) of a folder or of its subfolder `data`.

    Columns: `image` or `img`, a struct with encoded `bytes`; `label` or `fine_label`, an integer. Class names are those
    of Hugging Face's schema metadata, or the numbers. The loaded data set has its folder's name.
    """

    name: str = "parquet"
    folder: Path | None = None

    def with_argument(self, argument: str) -> Parquet:
        if not argument:
            raise self._no_folder()
        # `..` is taken out by its letters, so that a link to a folder keeps the link's name.
        folder = Path(os.path.normpath(Path(argument).expanduser().absolute()))
        return Parquet(f"{self.name}:{argument}", folder)

    @property
    def label(self) -> str:
        return self._folder.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        train, test = self._splits()
        classes, side = _class_names(train, test), _first_side(train[0])
        train_size, test_size = (sum(shard.rows for shard in shards) for shards in (train, test))
        return DatasetInfo(self.label, len(classes), side, train_size, test_size)

    def load(self, data_dir: Path | None) -> Dataset:
        train, test = self._splits()
        classes, side = _class_names(train, test), _first_side(train[0])
        return make_dataset(self.label, classes, _load(train, len(classes), side), _load(test, len(classes), side))

    def locations(self, data_dir: Path | None) -> str:
        if self.folder is None:
            return "no place of its own; name a folder, as in parquet:DIR"
        return f"{self.folder}: {'there' if self.folder.is_dir() else 'missing'}"

    def _no_folder(self) -> UserError:
        return UserError(f"data set '{self.name}' needs a folder; write {self.name}:DIR.")

    @property
    def _folder(self) -> Path:
        if self.folder is None:
            raise self._no_folder()
        return self.folder

    def _splits(self) -> tuple[list[Shard], list[Shard]]:
        for place in (self._folder, self._folder / "data"):
            train, test = _files(place, "train"), _files(place, "test") or _files(place, "valid")
            if train and test:
                return _shards(train), _shards(test)
        raise UserError(
            f"data set '{self.name}': {self.folder} and its subfolder data hold no train*.parquet with a test*.parquet "
            f"or valid*.parquet beside it; check the path."
        )


@dataclass(frozen=True)
class Shard:
    """One file, and the names of its two columns."""

    path: Path
    rows: int
    image: str
    label: str
    names: tuple[str, ...] | None
    chunk: int

    def column_batches(self, columns: list[str]) -> Iterator[Any]:
        """Record batches of `columns`, at most `chunk` rows each."""
        import pyarrow.parquet as pq

        with _readable(self.path), pq.ParquetFile(self.path) as file:
            seen = 0
            for batch in file.iter_batches(self.chunk, columns=columns):
                seen += batch.num_rows
                if seen > self.rows:
                    break
                yield batch
            if seen != self.rows:
                raise OSError(f"its footer counts {self.rows} rows, but it has {seen}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    # UnicodeDecodeError: pyarrow decodes the names of columns while it opens a file.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is damaged or no parquet file ({reason}); copy it anew and run again.") from error


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
    shards = [_open(path) for path in paths]
    rows = sum(shard.rows for shard in shards)
    if not 1 <= rows <= MAX_ROWS:
        raise UserError(f"{paths[0]} and its like have {rows:,} rows; a split must have from 1 to {MAX_ROWS:,}.")
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


def _open(path: Path) -> Shard:
    """Read a file's footer and check its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
        largest = _largest_column(file.metadata)
    if largest > MAX_GROUP_BYTES:
        raise UserError(
            f"{path} has a column of {largest:,} bytes in one row group, and at most {MAX_GROUP_BYTES:,} are read; "
            "write it with smaller row groups."
        )
    image, label = (_column(path, schema.names, wanted) for wanted in (("image", "img"), ("label", "fine_label")))
    kind = schema.field(image).type
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if fields.get("bytes") not in (pa.binary(), pa.large_binary()):
        raise UserError(f"{path}: column '{image}' is {kind}, but must be a struct with binary `bytes`; convert it.")
    if not pa.types.is_integer(schema.field(label).type):
        raise UserError(f"{path}: column '{label}' is {schema.field(label).type}, but must be an integer; convert it.")
    # A dictionary can repeat its largest value, which may be all that a column holds, in every row.
    chunk = max(1, min(CHUNK, CHUNK_BYTES // max(largest, 1)))
    return Shard(path, rows, image, label, _names(path, schema.metadata or {}, label), chunk)


def _largest_column(metadata: Any) -> int:
    """Decompressed bytes of the largest column of any row group, by the file's footer."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    sizes = (group.column(index).total_uncompressed_size for group in groups for index in range(group.num_columns))
    return max(sizes, default=0)


def _column(path: Path, present: list[str], wanted: tuple[str, str]) -> str:
    for name in wanted:
        if name in present:
            return name
    columns = ", ".join(present) or "none"
    raise UserError(f"{path} has no column '{wanted[0]}' or '{wanted[1]}' among: {columns}; rename the right one.")


def _names(path: Path, metadata: dict[bytes, bytes], label: str) -> tuple[str, ...] | None:
    """Class names from Hugging Face's metadata; None where there are none."""
    if b"huggingface" not in metadata:
        return None
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][label].get("names")
        if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise TypeError("names are no list of strings")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: its 'huggingface' metadata do not describe column '{label}' ({error!r}); write it without them."
        ) from error
    return tuple(names) if names else None


def _class_names(train: list[Shard], test: list[Shard]) -> tuple[str, ...]:
    """Class names, which all files must agree on, or the numbers up to the largest training label."""
    first = train[0]
    for shard in (*train, *test):
        if shard.names != first.names:
            raise UserError(f"{first.path} and {shard.path} name different classes; take both from one source.")
    if first.names:
        return first.names
    rows = sum(shard.rows for shard in train)
    largest = max(int(labels.max()) for shard in train for labels in _label_chunks(shard))
    # A stray id among the labels must not become a million classes.
    if not 0 <= largest < rows:
        raise UserError(f"{first.path}: labels run up to {largest} in {rows:,} training rows; check the labels.")
    return tuple(str(number) for number in range(largest + 1))


def _label_chunks(shard: Shard) -> Iterator[NDArray[Any]]:
    for batch in shard.column_batches([shard.label]):
        yield _labels(shard, batch.column(shard.label))


def _labels(shard: Shard, column: Any) -> NDArray[Any]:
    if column.null_count:
        raise UserError(f"{shard.path}: column '{shard.label}' has empty labels; leave those rows out.")
    labels: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return labels


def _first_side(shard: Shard) -> int:
    """Height and width of the first image, from its header."""
    batch = next(shard.column_batches([f"{shard.image}.bytes"]))
    data = batch.column(shard.image).field("bytes")[0].as_py()
    try:
        return image_side(data or b"")
    except ValueError as error:
        raise _bad_image(shard, 0, str(error)) from error


def _load(shards: list[Shard], num_classes: int, side: int) -> Split:
    """Decode all rows of a split."""
    rows = sum(shard.rows for shard in shards)
    if rows * side * side * 3 > MAX_SPLIT_BYTES:
        size = f"{rows:,} images of {side}×{side}"
        raise UserError(f"{shards[0].path}: its split has {size}, more than {MAX_SPLIT_BYTES:,} bytes; use fewer rows.")
    try:
        images, labels = np.empty((rows, side, side, 3), np.uint8), np.empty(rows, np.int64)
    except MemoryError as error:
        size = f"{rows * side * side * 3 / 1e9:.1f} GB"
        raise UserError(f"{shards[0].path}: its split takes {size} of memory decoded; use fewer rows.") from error
    start = 0
    for shard in shards:
        _load_shard(shard, num_classes, images[start : start + shard.rows], labels[start : start + shard.rows])
        start += shard.rows
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _load_shard(shard: Shard, num_classes: int, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Fill `images` [rows, side, side, 3] and `labels` [rows] from one file."""
    start = 0
    for batch in shard.column_batches([f"{shard.image}.bytes", shard.label]):
        chunk = _labels(shard, batch.column(shard.label))
        for row in np.flatnonzero((chunk < 0) | (chunk >= num_classes))[:1]:
            wrong = f"label {chunk[row]} is not within 0..{num_classes - 1}"
            raise UserError(f"{shard.path}, row {start + row}: {wrong}; mend it or leave the row out.")
        labels[start : start + len(chunk)] = chunk
        # Threads do not pay here: measured at 32×32 and 64×64, most of a small image's time is Python's.
        for row, data in enumerate(batch.column(shard.image).field("bytes"), start):
            try:
                images[row] = decode(data.as_py() or b"", images.shape[1])
            except ValueError as error:
                raise _bad_image(shard, row, str(error)) from error
        start += len(chunk)


def _bad_image(shard: Shard, row: int, reason: str) -> UserError:
    return UserError(f"{shard.path}, row {row}: bad image: {reason}; mend the row or leave it out.")
