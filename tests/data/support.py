"""Small splits and parquet files that the tests of the data room share."""

import io
import json
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
