"""The files that hold CIFAR-100: its Python and its binary version, as folders or archives.

Nothing is written: archives are read in memory, and of them the expected members alone.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdbench.data.split import Split

if TYPE_CHECKING:
    import numpy as np

#: More than an archive has unpacked.
MAX_BYTES = 300_000_000
#: Bytes of one image's planes: red, green, blue.
PLANES = 3 * 32 * 32
#: All that a batch of the Python version is made of; NumPy 2 has moved its parts.
PICKLED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class Unreadable(Exception):
    """Why a file cannot be read, without its name."""


def members(archive: Path, names: Sequence[str]) -> list[bytes]:
    """The contents of `names` in a `.tar.gz`, whatever else it holds. Raises `Unreadable`."""
    try:
        with gzip.open(archive) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise Unreadable(f"it unpacks to more than {MAX_BYTES:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            # A link is no file: what it points to is not followed.
            found = {member.name: member for member in tar if member.isreg() and member.name in names}
            parts = [tar.extractfile(found[name]) for name in names if name in found]
            contents = [part.read() for part in parts if part]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        size = archive.stat().st_size if archive.exists() else 0
        raise Unreadable(f"it is damaged or incomplete ({size:,} bytes; {error})") from error
    if len(contents) < len(names):
        raise Unreadable(f"it has no file {' or '.join(name for name in names if name not in found)}")
    return contents


def contents(folder: Path, names: Sequence[str]) -> list[bytes]:
    """The contents of `names` in a folder. Raises `Unreadable`."""
    found = []
    for name in names:
        try:
            with (folder / name).open("rb") as file:
                found.append(file.read(MAX_BYTES + 1))
        except OSError as error:
            raise Unreadable(f"{name} cannot be read ({error.strerror})") from error
    return found


def from_binary(data: bytes, size: int) -> Split:
    """A split of the binary version: for each image its coarse label, its fine label and its planes."""
    import numpy as np

    if len(data) != size * (2 + PLANES):
        raise Unreadable(f"{len(data):,} bytes are not {size:,} images with two labels each")
    rows = np.frombuffer(data, np.uint8).reshape(size, 2 + PLANES)
    return _split(rows[:, 2:], rows[:, 1])


def from_pickle(data: bytes, size: int, md5: str) -> Split:
    """A split of the Python version, a pickle of Python 2.

    It is unpickled only if it has `md5`, and then into nothing but arrays, lists, text and numbers.
    """
    import numpy as np

    if (found := hashlib.md5(data, usedforsecurity=False).hexdigest()) != md5:
        raise Unreadable(f"a batch has not the md5 {md5} but {found}")
    try:
        batch = _Batch(io.BytesIO(data), encoding="latin1").load()
        images, labels = np.asarray(batch["data"]), np.asarray(batch["fine_labels"])
    except Exception as error:  # whatever a pickle may end in
        raise Unreadable(f"a batch cannot be unpickled ({error!s:.200})") from error
    if (
        images.dtype != np.uint8
        or images.shape != (size, PLANES)
        or labels.shape != (size,)
        or labels.dtype.kind != "i"
    ):
        raise Unreadable(f"a batch does not hold {size:,} images with a fine label each")
    return _split(images, labels)


class _Batch(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in PICKLED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _split(planes: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> Split:
    import numpy as np
    import torch

    images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64)))
