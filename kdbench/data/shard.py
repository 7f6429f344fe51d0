"""One parquet file of a split: its footer, its two columns, and its rows a few at a time.

Rows are counted from 0 in messages.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from kdbench.data.decode import decode, square_side
from kdbench.data.local import refused
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Bytes that a row group's column may have decompressed.
MAX_GROUP_BYTES = 2**30
#: Rows held encoded at a time, and the bytes that they may take.
CHUNK, CHUNK_BYTES = 1024, 2**29


class NoLabels(UserError):
    """A file without a column of labels."""


@dataclass(frozen=True)
class Shard:
    """One file of `size` bytes: its rows, the row behind each of its row groups, and the names of its two columns."""

    path: Path
    size: int
    rows: int
    ends: tuple[int, ...]
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

    def label_chunks(self, empty: int | None = None) -> Iterator[NDArray[Any]]:
        """The labels, in parts; `empty` stands for those that are not there, which are refused without it."""
        for batch in self.column_batches([self.label]):
            yield self._labels(batch, empty)

    def read_image(self, row: int) -> bytes:
        """The encoded image of a row. Raises `UserError` where the file is not what it was."""
        found = _state(self.path)
        if found.st_size != self.size:
            raise UserError(
                f"{self.path} has {found.st_size:,} bytes, and had {self.size:,} when it was listed; run again."
            )
        group = bisect_right(self.ends, row)
        part, place = divmod(row - (0, *self.ends)[group], self.chunk)
        # Of threads that want the same part, one reads it.
        with _reading:
            images = _part(self, found.st_mtime_ns, group, part)
        return images[place].as_py() or b""

    def first_side(self) -> int:
        """Height and width of the first image, from its header."""
        try:
            return square_side(self.read_image(0))
        except ValueError as error:
            raise refused(self.where(0), error) from error

    def all_labels(self, num_classes: int) -> NDArray[np.int64]:
        """Labels [rows], which must be within the classes."""
        import numpy as np

        return self._checked(np.concatenate([*self.label_chunks()]), 0, num_classes).astype(np.int64)

    def load_into(self, images: NDArray[np.uint8], labels: NDArray[np.int64], num_classes: int) -> None:
        """Fill `images` [rows, side, side, 3] and `labels` [rows]."""
        start = 0
        for batch in self.column_batches([f"{self.image}.bytes", self.label]):
            chunk = self._checked(self._labels(batch), start, num_classes)
            labels[start : start + len(chunk)] = chunk
            # Threads do not pay here: measured at 32×32 and 64×64, most of a small image's time is Python's.
            for row, data in enumerate(batch.column(self.image).field("bytes"), start):
                try:
                    images[row] = decode(data.as_py() or b"", images.shape[1])
                except ValueError as error:
                    raise refused(self.where(row), error) from error
            start += len(chunk)

    def _checked(self, labels: NDArray[Any], start: int, num_classes: int) -> NDArray[Any]:
        """Labels of the rows from `start`, which must be within the classes."""
        import numpy as np

        for row in np.flatnonzero((labels < 0) | (labels >= num_classes))[:1]:
            wrong = f"label {labels[row]} is not within 0..{num_classes - 1}"
            raise UserError(f"{self.where(start + row)}: {wrong}; mend it or leave the row out.")
        return labels

    def _labels(self, batch: Any, empty: int | None = None) -> NDArray[Any]:
        column = batch.column(self.label)
        if column.null_count and empty is not None:
            column = column.fill_null(empty)
        elif column.null_count:
            raise UserError(f"{self.path}: column '{self.label}' has empty labels; leave those rows out.")
        labels: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return labels

    def where(self, row: int) -> str:
        """How messages call a row."""
        return f"{self.path}, row {row}"


def _state(path: Path) -> os.stat_result:
    with _readable(path):
        return path.stat()


#: Held while a part is read.
_reading = Lock()


@lru_cache(maxsize=1)
def _part(shard: Shard, written: int, group: int, part: int) -> list[Any]:
    """Encoded images of a row group, `part` in parts of `shard.chunk` rows, of a file written at that time."""
    import pyarrow.parquet as pq

    with _readable(shard.path), pq.ParquetFile(shard.path) as file:
        batches = file.iter_batches(shard.chunk, row_groups=[group], columns=[f"{shard.image}.bytes"])
        values = chain.from_iterable(batch.column(shard.image).field("bytes") for batch in batches)
        first, rows = part * shard.chunk, shard.ends[group] - (0, *shard.ends)[group]
        found = list(islice(values, first, first + shard.chunk))
        if len(found) != min(shard.chunk, rows - first):
            raise OSError(f"its footer counts {rows} rows in row group {group}, but it has fewer")
        return found


def open_shard(path: Path) -> Shard:
    """Read a file's footer and check its columns. Raises `UserError` for a file that is damaged or of another kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable(path), pq.ParquetFile(path) as file:
        schema, rows, size = file.schema_arrow, file.metadata.num_rows, path.stat().st_size
        ends = tuple(accumulate(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)))
        largest = _largest_column(file.metadata)
    if largest > MAX_GROUP_BYTES:
        raise UserError(
            f"{path} has a column of {largest:,} bytes in one row group, and at most {MAX_GROUP_BYTES:,} are read; "
            "write it with smaller row groups."
        )
    image = _column(path, schema.names, ("image", "img"), UserError)
    label = _column(path, schema.names, ("label", "fine_label"), NoLabels)
    kind = schema.field(image).type
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if fields.get("bytes") not in (pa.binary(), pa.large_binary()):
        raise UserError(f"{path}: column '{image}' is {kind}, but must be a struct with binary `bytes`; convert it.")
    if not pa.types.is_integer(schema.field(label).type):
        raise UserError(f"{path}: column '{label}' is {schema.field(label).type}, but must be an integer; convert it.")
    # A dictionary can repeat its largest value, which may be all that a column holds, in every row.
    chunk = max(1, min(CHUNK, CHUNK_BYTES // max(largest, 1)))
    return Shard(path, size, rows, ends, image, label, _names(path, schema.metadata or {}, label), chunk)


def _largest_column(metadata: Any) -> int:
    """Decompressed bytes of the largest column of any row group, by the file's footer."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    sizes = (group.column(index).total_uncompressed_size for group in groups for index in range(group.num_columns))
    return max(sizes, default=0)


def _column(path: Path, present: list[str], wanted: tuple[str, str], lacking: type[UserError]) -> str:
    for name in wanted:
        if name in present:
            return name
    columns = ", ".join(present) or "none"
    raise lacking(f"{path} has no column '{wanted[0]}' or '{wanted[1]}' among: {columns}; rename the right one.")


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


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    # UnicodeDecodeError: pyarrow decodes the names of columns while it opens a file.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is damaged or no parquet file ({reason}); copy it anew and run again.") from error
