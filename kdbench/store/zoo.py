"""Reading checkpoints of RepDistiller's and mdistiller's zoos without running what a pickle may hold."""

import argparse
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from kdbench.inputs.errors import UserError
from kdbench.model import Architecture
from kdbench.store.weights import check_fit

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


def read_zoo_checkpoint(path: Path, architecture: Architecture, num_classes: int) -> dict[str, Tensor]:
    """The weights in a zoo's checkpoint under our parameter names.

    The state dict stands under `model` or is the whole file. Raises `UserError` if the file is missing, damaged, holds
    objects that need code to load, or does not fit.
    """
    checkpoint = _load(path)
    found = checkpoint.get("model", checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(found, Mapping) or not found or not all(map(_is_plain, found.values())):
        raise UserError(f"{path} holds no state dict, neither as a whole nor under 'model'; give a checkpoint of a zoo")
    return from_zoo(found, architecture, num_classes, f"{path}{_said_architecture(checkpoint)}")


def _is_plain(value: object) -> bool:
    """Whether it is a tensor with its numbers in memory: files can also hold sparse, quantised and empty shells."""
    if not isinstance(value, Tensor) or value.is_quantized or value.is_nested:
        return False
    return value.layout is torch.strided and value.device.type == "cpu"


def from_zoo(
    state: Mapping[str, Tensor], architecture: Architecture, num_classes: int, origin: str
) -> dict[str, Tensor]:
    """A zoo's state dict under our parameter names; `UserError`, which names its `origin`, unless it fits exactly.

    A `module.` before a name, as `DataParallel` leaves it, is dropped.
    """
    tensors: dict[str, Tensor] = {}
    for zoo_name, tensor in state.items():
        name = _our_name(str(zoo_name).removeprefix("module."), architecture.zoo_keys)
        if name in tensors:
            raise UserError(f"{origin} holds {name} twice, also as {zoo_name}; give the file of one network")
        tensors[name] = tensor
    with torch.device("meta"):
        expected = architecture.build(num_classes).state_dict()
    check_fit(tensors, expected, origin, architecture.name)
    return tensors


def _load(path: Path) -> Any:
    try:
        if not path.is_file():
            raise UserError(f"checkpoint {path} does not exist; check the path")
        _refuse_bombs(path)
        # A refusal is one sentence; torch's remarks on how a file was made say nothing more.
        with torch.serialization.safe_globals(SAFE_GLOBALS), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except UnpicklingError as error:
        raise UserError(
            f"{path} is damaged or holds more than tensors, numbers and options, so it is not loaded "
            f"({_reason(error)}); give a checkpoint as the zoo published it"
        ) from error
    # What a damaged file makes of its reader is anything from EOFError to UnicodeDecodeError.
    except Exception as error:
        reason = f"{type(error).__name__}: {_reason(error)}"
        raise UserError(f"{path} is not a readable checkpoint ({reason}); copy or download it again") from error


def _refuse_bombs(path: Path) -> None:
    """torch stores what it saves and packs nothing, so a zip that holds more than its own size is none of torch's."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
        held = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
        if held > path.stat().st_size:
            raise UserError(
                f"{path} unpacks to {held:,} bytes, more than it has, so it is not loaded; "
                "give a checkpoint as the zoo published it"
            )


def _reason(error: Exception) -> str:
    """What went wrong, by the error that torch wraps: the wrapper's own text advises to load the file unsafely."""
    text = str(error.__context__ or error).strip() or "no reason given"
    return text.splitlines()[0].split(". ")[0].rstrip(".")


def _our_name(zoo_name: str, zoo_keys: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in zoo_keys:
        name, count = re.subn(pattern, replacement, zoo_name)
        if count:
            return name
    return zoo_name


def _said_architecture(checkpoint: Mapping[str, Any]) -> str:
    """The network that the training options in the file name, for messages."""
    options = vars(checkpoint["opt"]) if isinstance(checkpoint.get("opt"), argparse.Namespace) else {}
    name = options.get("model_s", options.get("model"))
    return f", made with the option --model {name}," if name else ""
