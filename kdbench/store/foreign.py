"""Checkpoints of other programs: what such a file holds, without running what a pickle may hold."""

from __future__ import annotations

import argparse
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import torch

from kdbench.inputs.errors import UserError
from kdbench.store.weights import is_safetensors, is_torch_file, is_written_by_kdbench, read_tensors

_SCALAR = cast(Callable[..., Any], np.float64(0).__reduce__()[0])
#: All that these checkpoints hold beside tensors and plain Python: the options of a training run and NumPy scalars,
#: whose constructor has another module name in files that NumPy 1 pickled.
SAFE_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
]
#: Endings of the files that people keep checkpoints in.
SUFFIXES = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors")


def read_foreign(path: Path) -> Any:
    """What a checkpoint holds: tensors in mappings and lists, with numbers and texts beside them.

    A file of torch, in its present or its older format, or of safetensors. Raises `UserError` if it is missing,
    damaged, an archive or a folder of files, or holds objects that need code to load.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; give one of its files{_such_as(path)}")
        if not path.is_file():
            raise UserError(f"checkpoint {path} does not exist; check the path")
        if is_safetensors(path):
            if is_written_by_kdbench(path):
                raise UserError(f"{path} is a weights file of kdbench's already; give it to --teacher as it is")
            return read_tensors(path)
        _refuse_archives(path)
        # A refusal is one sentence; torch's remarks on how a file was made say nothing more.
        with torch.serialization.safe_globals(SAFE_GLOBALS), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except UnpicklingError as error:
        raise UserError(
            f"{path} is damaged or holds more than tensors, numbers and options, so it is not loaded "
            f"({_reason(error)}); save the network's state_dict() alone where the file was made, and give that"
        ) from error
    # What a damaged file makes of its reader is anything from EOFError to UnicodeDecodeError.
    except Exception as error:
        reason = f"{type(error).__name__}: {_reason(error)}"
        raise UserError(f"{path} is not a readable checkpoint ({reason}); copy or download it again") from error


def _such_as(folder: Path) -> str:
    names = sorted(file.name for file in folder.iterdir() if file.suffix in SUFFIXES)
    return f", such as {folder / names[0]}" if names else " (there is none that looks like a checkpoint)"


def _refuse_archives(path: Path) -> None:
    """Files of several files, programs and bombs are told what they are; torch calls them all damaged."""
    if is_torch_file(path) and zipfile.is_zipfile(path):
        _refuse_zips(path)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            first = archive.next()
        # The oldest checkpoints of torch are such archives.
        if first and first.name not in ("storages", "tensors", "pickle", "sys_info"):
            raise UserError(
                f"{path} is an archive of files, such as {first.name}; unpack it (tar xf) and give one of them"
            )


def _refuse_zips(path: Path) -> None:
    """torch stores what it saves and packs nothing, so a zip that holds more than its own size is none of torch's."""
    entries = zipfile.ZipFile(path).infolist()
    names = [Path(entry.filename).name for entry in entries]
    held = sum(entry.file_size for entry in entries)
    if "constants.pkl" in names:
        raise UserError(f"{path} is a TorchScript program, which is not loaded; save its state_dict() and give that")
    if "data.pkl" not in names:
        first = entries[0].filename if entries else "none"
        raise UserError(f"{path} is an archive of files, such as {first}; unpack it (unzip) and give one of them")
    if held > path.stat().st_size:
        raise UserError(
            f"{path} unpacks to {held:,} bytes, more than it has, so it is not loaded; "
            "give a checkpoint as the zoo published it"
        )


def _reason(error: Exception) -> str:
    """What went wrong, by the error that torch wraps: the wrapper's own text advises to load the file unsafely."""
    text = str(error.__context__ or error).strip() or "no reason given"
    return text.splitlines()[0].split(". ")[0].rstrip(".")
