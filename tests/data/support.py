"""Small splits and parquet files that the tests of the data room share."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from kdbench.data import Split

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def random_split(size: int, side: int, classes: int = 5) -> Split:
    """`size` images of noise, always the same ones."""
    generator = torch.Generator().manual_seed(size * 1000 + side)
    images = torch.randint(256, (size, side, side, 3), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(size) % classes)


def png(pixels: np.ndarray, mode: str | None = None, fmt: str = "PNG", **options: Any) -> bytes:
    """Pixels [H, W] or [H, W, 3] encoded; `mode` converts them first."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, fmt, **options)
    return buffer.getvalue()


def png_of_16_bits(colour_type: int, side: int) -> bytes:
    """A black PNG of 16-bit grey (0), colour (2), grey with alpha (4) or colour with alpha (6)."""

    row = bytes(1 + 2 * side * {0: 1, 2: 3, 4: 2, 6: 4}[colour_type])
    return _png(side, 16, colour_type, _chunk(b"IDAT", zlib.compress(row * side)))


def png_without_pixels(side: int) -> bytes:
    """A PNG that claims 8-bit colour of this size and ends there."""
    return _png(side, 8, 2, b"")


def _png(side: int, bits: int, colour_type: int, chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + chunks + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_parquet(
    path: Path,
    images: list[Any],
    labels: list[Any],
    *,
    names: list[str] | None = None,
    columns: tuple[str, str] = ("image", "label"),
    metadata: bytes | None = None,
    image_type: pa.DataType = IMAGE_TYPE,
    label_type: pa.DataType | None = None,
) -> None:
    """One file in Hugging Face's layout; an element of `images` is encoded bytes, or a row as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"bytes": image, "path": None} if isinstance(image, bytes) else image for image in images]
    table = pa.table({columns[0]: pa.array(rows, image_type), columns[1]: pa.array(labels, label_type or pa.int64())})
    if names is not None:
        features = {columns[0]: {"_type": "Image"}, columns[1]: {"_type": "ClassLabel", "names": names}}
        metadata = json.dumps({"info": {"features": features}}).encode()
    if metadata is not None:
        table = table.replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, path, row_group_size=7)


def write_split(path: Path, split: Split, **options: Any) -> None:
    """A split as lossless PNGs."""
    write_parquet(path, [png(image.numpy()) for image in split.images], split.labels.tolist(), **options)


def jpeg(width: int, height: int, seed: int = 0, **options: Any) -> bytes:
    """A smooth JPEG of that size, another one for each seed."""
    corners = np.random.default_rng(seed).integers(256, size=(2, 2, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(corners).resize((width, height)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def write_jpegs(folder: Path, classes: tuple[str, ...] = ("ant", "bee", "cat"), train: int = 4, test: int = 2) -> Path:
    """JPEGs of different sizes in folders of their classes, `train` and `test` of each; the folder."""
    for split, count in (("train", train), ("val", test)):
        for label, name in enumerate(classes):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number}.jpg").write_bytes(jpeg(20 + 3 * label + number, 30 - number, 10 * label + number))
    return folder
