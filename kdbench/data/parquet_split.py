"""Rows of parquet files as a listed split: an image's row group is read when the image is."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.data.shard import Shard
from kdbench.data.streamed import ImageSplit

if TYPE_CHECKING:
    from torch import Tensor

#: Rows of a row group from which it is slow to read one image of it.
MANY_ROWS = 256


@dataclass(frozen=True, eq=False)
class ParquetSplit(ImageSplit):
    """The rows of `shards`, one after another, in files below `place`."""

    place: Path
    shards: tuple[Shard, ...]
    labels: Tensor

    def read(self, index: int) -> bytes:
        shard, row = self._found(index)
        return shard.read_image(row)

    def name(self, index: int) -> str:
        shard, row = self._found(index)
        return f"{shard.path.relative_to(self.place).as_posix()}, row {row}"

    def where(self, index: int) -> str:
        shard, row = self._found(index)
        return shard.where(row)

    def _found(self, index: int) -> tuple[Shard, int]:
        number = bisect_right(self._starts, index) - 1
        return self.shards[number], index - self._starts[number]

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(shard.rows for shard in self.shards)]

    @property
    def most_rows(self) -> int:
        """Rows of the largest row group."""
        return max(
            end - start for shard in self.shards for start, end in zip((0, *shard.ends), shard.ends, strict=False)
        )


def parquet_checksum(*splits: ParquetSplit) -> str:
    """sha256 over the splits: of each file its rows, its bytes and its name, a zero byte behind; then all labels, as
    8-byte integers with the lowest byte first.
    """
    digest = hashlib.sha256()
    for split in splits:
        for shard in split.shards:
            name = shard.path.relative_to(split.place).as_posix()
            digest.update(f"{shard.rows} {shard.size} {name}\0".encode(errors="surrogateescape"))
        digest.update(split.labels.numpy().astype("<i8").tobytes())
    return digest.hexdigest()
