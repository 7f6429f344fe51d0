"""How runs are executed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from kdbench.environment.gpus import Gpu

#: How old a run's last checkpoint may be at the end of an epoch, unless told otherwise.
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Options:
    """How to execute, none of which changes a result on a CPU.

    `gpus` are those to train on, none on a CPU; `device` is the first of them. `workers` is the number of processes
    that train cohorts side by side; 0 is all cores on a CPU, and on each GPU as many as are measured to be best.
    `lanes` is the number of streams that the members of a cohort share on a GPU; 0 is as many as are measured to be
    best. `deterministic` makes a GPU's results bit-exact.
    """

    device: torch.device
    workers: int = 0
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    command: str = ""
    plugin_files: tuple[Path, ...] = ()
    imported: dict[str, Path] = field(default_factory=dict)
    keep_final: bool = False
    lanes: int = 0
    deterministic: bool = False
    gpus: tuple[Gpu, ...] = ()
