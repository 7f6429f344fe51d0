"""Where jobs are trained on one machine: its cores, or one of its GPUs each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from kdbench.environment.gpus import VARIABLE
from kdbench.execution.options import Options


@dataclass(frozen=True, eq=False)
class Place:
    """The device of a worker process, and the variables by which it sees no other."""

    device: torch.device
    variables: Mapping[str, str] = field(default_factory=dict)


def places(options: Options) -> list[Place]:
    """The places that options name: each GPU is one, whose workers see no other.

    Of a single GPU that this process sees, workers see what it sees.
    """
    if not options.gpus or (len(options.gpus) == 1 and options.gpus[0].number < torch.cuda.device_count()):
        return [Place(options.device)]
    return [Place(torch.device("cuda"), {VARIABLE: gpu.name}) for gpu in options.gpus]
