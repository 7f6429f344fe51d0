"""The device that training uses, by name and in words."""

from __future__ import annotations

import functools
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.environment.programs import ask
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none. Raises `UserError` for a device that is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"unknown device '{name}'; use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise UserError(
            f"device '{name}' is not there: torch sees {torch.cuda.device_count()} GPU(s); use --device cpu."
        )
    return device


def describe_device(device: torch.device) -> str:
    """The device in words, with the version of CUDA that torch uses where it is a GPU."""
    if device.type == "cuda":
        import torch

        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    return f"{_cpu_model()}, {os.cpu_count()} cores"


def describe_devices(device: torch.device, count: int) -> str:
    """`count` devices of one kind in words; of a CPU there is one."""
    return f"{count} × {describe_device(device)}" if count > 1 else describe_device(device)


def slow_in_bf16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 take many times as long as in float32: on a CPU without instructions that oneDNN
    has kernels for, which on x86 are AVX-512's.
    """
    import torch

    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: of the GPU, or of the process on a CPU (0 where the platform does not tell)."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@functools.cache
def driver() -> str | None:
    """Version of the GPU's driver; None where nvidia-smi does not tell."""
    told = ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return told.split("\n")[0].strip() if told else None


@functools.cache
def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
