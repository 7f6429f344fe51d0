"""What records keep of the machine and the software."""

from __future__ import annotations

import platform
from typing import Any

import torch

from kdbench.environment.commit import git_commit
from kdbench.environment.device import describe_device, driver
from kdbench.environment.versions import versions
from kdbench.losses.backend import requested


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, driver, commit, and which implementation of the losses was asked for, as records keep them."""
    return {
        "packages": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": describe_device(device),
        "driver": driver() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "losses": requested(),
        "commit": git_commit(),
    }
