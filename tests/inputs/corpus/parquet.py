"""Data sets in parquet, and the images in them."""

import functools
import io
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, PngImagePlugin

from tests.data.support import png, png_of_16_bits, random_split, write_parquet, write_split
from tests.inputs.corpus.cases import DEEP, Executes, case

SIDE = 6
SOUND = [png(image.numpy()) for image in random_split(3, SIDE).images]


def _data_set(write: Callable[[Path], None], folder: Path, _: Path) -> Path:
    """A folder whose training file is written by `write`, and whose test file is sound."""
    write(folder / "train.parquet")
    write_split(folder / "test.parquet", random_split(5, SIDE))
    return folder


def _image(data: bytes) -> Callable[[Path], None]:
    return lambda path: write_parquet(path, [*SOUND, data], [0, 1, 0, 1])


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with the checksum that belongs to it."""
    data = bytearray(SOUND[0])
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _large_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (6000, 6000)).save(buffer, "PNG")
    return buffer.getvalue()


def _text_bomb() -> bytes:
    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 80_000_000, zip=True)
    Image.new("RGB", (SIDE, SIDE)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _dictionary_bomb(path: Path) -> None:
    """Thousands of rows that share one value of 100 kB, which the file holds once."""
    row = pa.array(
        [{"bytes": bytes(100_000), "path": None}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, np.int32)), row.field("bytes"))
    table = pa.table({"image": pa.StructArray.from_arrays([repeated], ["bytes"]), "label": np.zeros(3000, np.int64)})
    pq.write_table(table.cast(table.schema), path, store_schema=False)


def _many_rows(path: Path) -> None:
    """Six million labels in a file of kilobytes."""
    empty = pa.nulls(6_000_000, pa.struct([("bytes", pa.binary())]))
    pq.write_table(pa.table({"image": empty, "label": np.zeros(6_000_000, np.int8)}), path)


def _twice(path: Path, other: str) -> None:
    for place in (path, path.with_name(other)):
        write_parquet(place, SOUND, [0, 1, 1])


PARQUET: dict[str, Callable[[Path], None]] = {
    "image that claims 50,000 pixels a side": _image(claiming(50_000, 50_000)),
    "image of one row of pixels": _image(claiming(2**31 - 1, 1)),
    "image of no pixels": _image(claiming(0, 0)),
    "image of 36 million pixels": lambda path: write_parquet(path, [_large_png()] * 2, [0, 1]),
    "text bomb in an image": lambda path: write_parquet(path, [_text_bomb()] * 2, [0, 1]),
    "image with code": _image(pickle.dumps(Executes(Path("canary")))),
    "PostScript as image": _image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n(%pipe%mkdir canary) (w) file\n"),
    "image cut short": _image(SOUND[0][:-20]),
    "image of more bytes than it can need": _image(SOUND[0] + bytes(20_000_000)),
    "dictionary bomb": _dictionary_bomb,
    "more rows than a split may have": _many_rows,
    "text instead of images": lambda path: pq.write_table(pa.table({"image": ["a"], "label": [1]}), path),
    "no rows": lambda path: write_parquet(path, [], []),
    "image of 16-bit colour": _image(png_of_16_bits(2, SIDE)),
    "image of 16-bit grey": _image(png_of_16_bits(0, SIDE)),
    "one class": lambda path: write_parquet(path, SOUND, [0] * 3),
    "no labels": lambda path: write_parquet(path, SOUND, [-1] * 3),
    "a part beside the whole": lambda path: _twice(path, "train-00000-of-00001.parquet"),
    "a copy": lambda path: _twice(path, "train (1).parquet"),
    "one part of two": lambda path: write_parquet(path.with_name("train-00000-of-00002.parquet"), SOUND, [0, 1, 1]),
    "label of a million classes": lambda path: write_parquet(path, SOUND, [0, 1, 10**6]),
    "label below zero": lambda path: write_parquet(path, SOUND, [0, -1, 1]),
    "label beyond 63 bits": lambda path: write_parquet(path, SOUND, [0, 2**64 - 1, 1], label_type=pa.uint64()),
    "metadata that are no JSON": lambda path: write_parquet(path, SOUND, [0, 1, 2], metadata=b"\xff{"),
    "deep metadata": lambda path: write_parquet(path, SOUND, [0, 1, 2], metadata=b"[" * DEEP),
    "a pickle that executes": lambda path: path.write_bytes(pickle.dumps(Executes(path.parent / "canary"))) and None,
    "a directory": lambda path: path.mkdir(),
    "a loop of links": lambda path: path.symlink_to(path),
    "empty": lambda path: path.write_bytes(b"") and None,
    "only its magic": lambda path: path.write_bytes(b"PAR1" * 4) and None,
    "footer of 2 GiB": lambda path: path.write_bytes(b"PAR1" + struct.pack("<i", 2**31 - 1) + b"PAR1") and None,
}  # fmt: skip
for name, write in PARQUET.items():
    case("parquet", name)(functools.partial(_data_set, write))
