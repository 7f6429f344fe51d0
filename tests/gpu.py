"""What tests of CUDA share: the mark, and the devices of a test whose own code a CPU can prove."""

from collections.abc import Callable
from typing import TypeVar

import pytest
import torch

CPU = torch.device("cpu")
CUDA = torch.device("cuda")

T = TypeVar("T", bound=Callable[..., object])

_MARKS = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))

#: For `@pytest.mark.parametrize("device", DEVICES)`.
DEVICES = [pytest.param(CPU, id="cpu"), pytest.param(CUDA, id="cuda", marks=_MARKS)]


def needs_gpu(test: T) -> T:
    """The test is marked `gpu`, and skipped with a reason where there is no CUDA device."""
    for mark in _MARKS:
        test = mark(test)
    return test
