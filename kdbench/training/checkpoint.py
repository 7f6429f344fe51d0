"""Checkpoints: the whole state of an unfinished run as tensors and plain JSON."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdbench.errors import UserError
from kdbench.store.files import write_atomically
from kdbench.store.records import Epoch
from kdbench.training.member import Member


class Progress(BaseModel):
    """How far a run has come: the next batch is `step` of `epoch`; `curve` holds the epochs behind it."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    epoch: int = 1
    step: int = 0
    curve: list[Epoch] = []
    train_seconds: float = 0.0
    test_seconds: float = 0.0

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, step): members of a cohort share it."""
        return self.epoch, self.step


def save_checkpoint(path: Path, member: Member, progress: Progress) -> None:
    """Write a member's state; whatever was at `path` is replaced in one move."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in _state(member).items()}
    metadata = {"progress": progress.model_dump_json()}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def read_progress(path: Path, run_id: str) -> Progress:
    """How far the run of a checkpoint has come, from its header; a run without a checkpoint is at its beginning."""
    if not path.exists():
        return Progress(run_id=run_id)
    try:
        with safe_open(path, "pt") as file:
            progress = Progress.model_validate(json.loads((file.metadata() or {})["progress"]))
    except (SafetensorError, OSError, ValidationError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    if progress.run_id != run_id:
        raise _damaged(path, ValueError(f"it belongs to run {progress.run_id}"))
    return progress


def load_checkpoint(path: Path, member: Member) -> None:
    """Put a member into the state that `save_checkpoint` wrote."""
    try:
        tensors = safetensors.torch.load_file(path)
        expected = _state(member)
        if tensors.keys() != expected.keys():
            raise ValueError("it holds other tensors than the run has")
        with torch.no_grad():
            for name, target in expected.items():
                if target.shape != tensors[name].shape:
                    raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(target.shape)}")
                target.copy_(tensors[name])
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from None


def _state(member: Member) -> dict[str, Tensor]:
    state = {f"network.{name}": value for name, value in member.network.state_dict().items()}
    state |= {f"method.{name}": value for name, value in member.method.state_dict().items()}
    state |= {f"momentum.{number}": momentum for number, momentum in enumerate(member.momenta)}
    return state | {"totals": member.totals, "first_fault": member.first_fault}


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(
        f"checkpoint {path} cannot be used ({reason}); move it away and run again: its run then starts anew."
    )
