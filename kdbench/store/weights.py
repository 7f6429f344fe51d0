"""Weights of networks as safetensors files that say what they are."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kdbench.inputs import commands
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import few
from kdbench.store.files import write_atomically

CLASSIFIER = "head.classifier.weight"
#: Bytes of a weights file: far more than the networks of this field and their methods' modules have.
MAX_BYTES = 2**35
#: What networks are trained and saved in; narrower numbers know no arithmetic.
_REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Digest of names, dtypes, shapes and bytes: equal for equal tensors, whatever their order, device and strides."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def storable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU: a module with two names has its tensors twice in a state, and safetensors takes none twice."""
    contiguous = torch.contiguous_format
    return {name: value.detach().to("cpu", copy=True, memory_format=contiguous) for name, value in state.items()}


def save_weights(
    weights: nn.Module | Mapping[str, Tensor],
    path: Path,
    architecture: str,
    num_classes: int,
    metadata: Mapping[str, str],
    *,
    overwrite: bool = False,
) -> str:
    """Write weights with what they are: `architecture`, `num_classes`, their sha256 (which is returned) and `metadata`.

    Raises `UserError` if `path` is taken, unless told to overwrite.
    """
    if path.exists() and not overwrite:
        raise UserError(f"{path} already exists and is not overwritten; choose another name")
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    tensors = storable(state)
    sha256 = tensors_sha256(tensors)
    own = {"architecture": architecture, "num_classes": str(num_classes), "sha256": sha256}
    write_atomically(path, save(tensors, {**metadata, **own}))
    return sha256


def load_weights(model: nn.Module, path: Path, architecture: str) -> dict[str, str]:
    """Put the weights of a file that `save_weights` wrote into `model` and return the file's metadata.

    Raises `UserError`, and leaves the model as it was, if the file is missing, damaged or made for another network.
    """
    metadata = read_metadata(path)
    tensors = read_tensors(path)
    if tensors_sha256(tensors) != metadata["sha256"]:
        raise UserError(f"{path} is damaged: its tensors do not match its sha256; copy or download it again")
    if metadata["architecture"] != architecture:
        raise UserError(
            f"{path} holds weights of {metadata['architecture']}, not of {architecture}; give a file of {architecture}"
        )
    expected = model.state_dict()
    classes, wanted = class_count(tensors), class_count(expected)
    if classes and wanted and classes != wanted:
        raise UserError(f"{path} holds weights for {classes} classes, not {wanted}; give a file for {wanted} classes")
    check_fit(tensors, expected, f"{path}", architecture)
    model.load_state_dict(tensors)
    return metadata


def verify_weights(path: Path, sha256: str) -> str | None:
    """What is wrong with a weights file whose tensors should have the digest `sha256`, or None."""
    try:
        tensors = read_tensors(path)
    except UserError as error:
        return str(error)
    return None if tensors_sha256(tensors) == sha256 else "its tensors are not those that its run's record names"


def read_metadata(path: Path) -> dict[str, str]:
    """What a file that `save_weights` wrote says of itself; `UserError` for a file without it."""
    with _opened(path) as file:
        metadata: dict[str, str] = file.metadata() or {}
    missing = [key for key in ("architecture", "num_classes", "sha256") if key not in metadata]
    if missing:
        raise UserError(
            f"{path} does not say its {', '.join(missing)}, as a file of kdbench's does; make one of it: "
            f"{_import_of(path)}"
        )
    for key, text in metadata.items():
        if key.startswith("top1 ") and not _is_percentage(text):
            raise UserError(f"{path} says '{key}' is '{text:.40}', which is no accuracy in per cent; import it again")
    return metadata


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, whoever wrote it; `UserError` if it cannot be read."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)


def is_written_by_kdbench(path: Path) -> bool:
    """Whether a safetensors file is one of `save_weights`, sound or not."""
    with _opened(path) as file:
        return {"architecture", "num_classes", "sha256"} <= (file.metadata() or {}).keys()


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as a safetensors file does: the length of a header of JSON, and its brace."""
    with path.open("rb") as file:
        begin = file.read(9)
    return begin[8:] == b"{" and begin[7:8] == b"\0"


def is_torch_file(path: Path) -> bool:
    """Whether a file begins as those of `torch.save` do: as a zip or a pickle."""
    with path.open("rb") as file:
        begin = file.read(4)
    return begin.startswith((b"PK\x03\x04", b"\x80\x02")) and not is_safetensors(path)


def _import_of(path: Path) -> str:
    return f"`{commands.kdbench('teachers', 'import', path)} --arch ARCH`"


def _is_percentage(text: str) -> bool:
    try:
        return 0 <= float(text) <= 100
    except ValueError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open safetensors file; what goes wrong with it, as a `UserError`."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a weights file; give one of its files")
        if not path.is_file():
            raise UserError(f"weights file {path} does not exist; check the path")
        if is_torch_file(path):
            raise UserError(
                f"{path} is a file of torch.save, not a safetensors file; make one of it: {_import_of(path)}"
            )
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} has more than {MAX_BYTES:,} bytes, which are not read; give a file of one network")
        # To safetensors, what may not be read is not there.
        path.open("rb").close()
        with safe_open(path, "pt") as file:
            yield file
    except UserError:
        raise
    # What a damaged file makes of its reader is not only its own kind of error.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a readable safetensors file ({reason}); copy or download it again") from error


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], origin: str, architecture: str) -> None:
    """Raise `UserError` unless `tensors` have the names and shapes of the state dict `expected` and are finite."""
    if found := misfit(tensors, expected):
        raise UserError(f"{origin} does not fit {architecture} ({found}); give a file of {architecture}")
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise UserError(
            f"{origin} holds values that are not finite, in {few(bad)}; give a file of a sound training run"
        )


def misfit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """In which names, shapes and kinds of number `tensors` are not `expected`; empty if in none."""
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of another shape or kind": [
            f"{name} {_kind(tensors[name])} (not {_kind(expected[name])})"
            for name in expected
            if name in tensors and _kind(tensors[name]) != _kind(expected[name])
        ],
    }
    return "; ".join(f"{what}: {few(names)}" for what, names in problems.items() if names)


def class_count(tensors: Mapping[str, Tensor]) -> int | None:
    """What a network's classifier tells; a method's modules, too, are saved, and need not have one."""
    classifier = tensors.get(CLASSIFIER)
    return None if classifier is None or classifier.ndim != 2 else classifier.shape[0]


def _kind(tensor: Tensor) -> str:
    """Shape, and whether it holds real numbers, in whatever precision."""
    return f"{list(tensor.shape)}{'' if tensor.dtype in _REAL else f' of {tensor.dtype}'}"
