"""The GPUs of this machine that a command may use, and the variable that shows a process one of them alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kdbench.inputs.errors import UserError

VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Gpu:
    """A GPU: its number among those that this process sees, and what `CUDA_VISIBLE_DEVICES` calls it."""

    number: int
    name: str


def visible_gpus() -> list[Gpu]:
    """All that this process may use, as `CUDA_VISIBLE_DEVICES` restricts and orders them.

    Of several MIG slices CUDA shows a process the first alone; each is one here, since each has a process of its own.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    listed = os.environ.get(VARIABLE)
    names = [str(number) for number in range(count)] if listed is None else [n.strip() for n in listed.split(",")]
    if not (count and all(name.startswith("MIG-") for name in names)):
        # What is behind the first name that is none does not count for CUDA either.
        names = names[:count]
    return [Gpu(number, name) for number, name in enumerate(names)]


def chosen_gpus(device: str) -> list[Gpu]:
    """The GPUs that `auto`, `cpu`, `cuda`, `cuda:N` or several of the last, with commas, stand for; none is the CPU.

    Raises `UserError` for one that is not there or is named twice.
    """
    words = [word.strip() for word in device.split(",")]
    if words == ["cpu"]:
        return []
    there = visible_gpus()
    if words == ["auto"] or (words == ["cuda"] and there):
        return there
    numbers = [_number(word, device) for word in words]
    if missing := [number for number in numbers if number >= len(there)]:
        raise UserError(f"device 'cuda:{missing[0]}' is not there: torch sees {len(there)} GPU(s); use --device cpu.")
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--device {device} names a GPU twice; name each once.")
    return [there[number] for number in numbers]


def device_of(gpus: Sequence[Gpu]) -> torch.device:
    """The first of some GPUs, as this process names it; a slice that it does not see is like the one that it sees."""
    if not gpus:
        return torch.device("cpu")
    number = gpus[0].number
    return torch.device("cuda", number) if 0 < number < torch.cuda.device_count() else torch.device("cuda")


def _number(word: str, device: str) -> int:
    kind, colon, number = word.partition(":")
    if kind != "cuda" or (colon and not (number.isascii() and number.isdigit())) or (not colon and "," in device):
        raise UserError(f"unknown device '{device}'; use auto, cpu, cuda, cuda:N, or several as cuda:0,cuda:3.")
    return int(number or 0)
