"""What a result depends on beside its configuration: versions, device, commit, source of a method."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from kdbench.errors import UserError
from kdbench.losses.backend import requested
from kdbench.method import Method

PACKAGES = ("kdbench", "torch", "torchvision", "triton", "numpy", "pluggy", "pydantic", "safetensors", "pyarrow")


def resolve_device(name: str) -> torch.device:
    """`auto` is the first GPU, or the CPU where there is none. Raises `UserError` for a device that is not there."""
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


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, driver, commit, and which implementation of the losses was asked for, as records keep them."""
    return {
        "packages": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": describe_device(device),
        "driver": _driver() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "losses": requested(),
        "commit": git_commit(),
    }


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe_device(device: torch.device) -> str:
    """The device in words, with the version of CUDA that torch uses where it is a GPU."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    return f"{_cpu_model()}, {os.cpu_count()} cores"


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: of the GPU, or of the process on a CPU (0 where the platform does not tell)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@functools.cache
def _driver() -> str | None:
    """Version of the GPU's driver; None where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip()


@functools.cache
def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def git_commit() -> str | None:
    """Commit of the checkout that kdbench runs from, with `+` if its files were changed; None outside a checkout."""
    folder = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def source_file(method: type[Method]) -> tuple[str, str]:
    """Path and sha256 of the file that defines a method."""
    path = inspect.getsourcefile(method)
    if path is None or not Path(path).is_file():
        return "unknown", ""
    return path, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def command_line() -> str:
    """The command as it was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
