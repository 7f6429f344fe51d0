"""Checkpoints: the whole state of an unfinished run as tensors and plain JSON, the last two of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdbench.inputs.errors import UserError
from kdbench.store.files import write_together
from kdbench.store.progress import Progress
from kdbench.store.records import Damaged, OtherFormat
from kdbench.store.store import checkpoint_versions
from kdbench.store.weights import storable, tensors_sha256
from kdbench.training.member import Member

#: Of the file. Format 1 had no checksum.
FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and verified."""

    path: Path
    progress: Progress
    tensors: dict[str, Tensor]


def save_checkpoint(path: Path, member: Member, progress: Progress) -> None:
    """Write a member's state; the checkpoint that was at `path` becomes the previous one."""
    tensors = storable(_state(member))
    text = progress.model_dump_json()
    metadata = {"format": str(FORMAT), "sha256": _digest(tensors, text), "progress": text}
    keep_checkpoints({path: safetensors.torch.save(tensors, metadata)})


def keep_checkpoints(made: Mapping[Path, bytes]) -> None:
    """Write checkpoints that are made already, in the same way."""
    write_together(made, displaced=dict(map(checkpoint_versions, made)))


def newest_checkpoint(path: Path, run_id: str) -> Checkpoint | None:
    """The newest checkpoint of a run that verifies, or None. Says where that is not the newest there is."""
    for candidate in checkpoint_versions(path):
        try:
            return read_checkpoint(candidate, run_id)
        except (FileNotFoundError, NotADirectoryError):
            # Nor is it looked for first: whoever trains the run may move it meanwhile.
            continue
        except Damaged as damage:
            logging.getLogger(__name__).warning(
                "checkpoint %s is damaged (%s): its run goes on from the one before, or anew", *damage.args
            )
    return None


def read_progress(path: Path, run_id: str) -> Progress:
    """How far a run has come; one without a checkpoint that verifies is at its beginning."""
    checkpoint = newest_checkpoint(path, run_id)
    return checkpoint.progress if checkpoint else Progress(run_id=run_id)


def read_checkpoint(path: Path, run_id: str | None = None) -> Checkpoint:
    """A checkpoint from its file.

    Raises `Damaged`, `OtherFormat`, `FileNotFoundError`, or `UserError` where it may not be read.
    """
    try:
        # To safetensors, what may not be read is not there.
        path.open("rb").close()
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != str(FORMAT):
                raise OtherFormat(path, metadata.get("format"), FORMAT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except PermissionError as error:
        raise UserError(f"checkpoint {path} cannot be read ({error.strerror}); mend its permissions.") from None
    except (SafetensorError, OSError) as error:
        raise Damaged(path, " ".join(str(error).split()) or type(error).__name__) from None
    text = metadata.get("progress", "")
    if metadata.get("sha256") != _digest(tensors, text):
        raise Damaged(path, "its checksum does not hold")
    try:
        progress = Progress.model_validate_json(text)
    except ValidationError as error:
        raise Damaged(path, f"its progress does not read: {error.errors()[0]['msg']}") from None
    if run_id is not None and progress.run_id != run_id:
        raise Damaged(path, f"it belongs to run {progress.run_id}")
    return Checkpoint(path, progress, tensors)


def load_checkpoint(checkpoint: Checkpoint, member: Member) -> None:
    """Put a member into the state that `save_checkpoint` wrote. Raises `UserError` where it is of another network."""
    expected = _state(member)
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    if {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()} != shapes:
        raise UserError(
            f"checkpoint {checkpoint.path} holds other tensors than its run has; move it away, and the run starts anew."
        )
    with torch.no_grad():
        for name, target in expected.items():
            target.copy_(checkpoint.tensors[name])


def _state(member: Member) -> dict[str, Tensor]:
    state = {f"network.{name}": value for name, value in member.network.state_dict().items()}
    state |= {f"method.{name}": value for name, value in member.method.state_dict().items()}
    state |= member.moments | {f"average.{name}": value for name, value in member.averages.items()}
    return state | {"totals": member.totals, "first_fault": member.first_fault}


def _digest(tensors: dict[str, Tensor], progress: str) -> str:
    return hashlib.sha256(f"{tensors_sha256(tensors)}\n{progress}".encode()).hexdigest()
