"""Where jobs are trained on one machine: its cores, or one of its GPUs each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from kdbench.execution.options import Options


@dataclass(frozen=True, eq=False)
class Place:
    """The device of a worker process, and the variables by which it sees no other."""

    device: torch.device
    variables: Mapping[str, str] = field(default_factory=dict)


def places(options: Options) -> list[Place]:
    """The places that options name."""
    return [Place(options.device)]
