"""The global switches that decide how a device computes: set for a training and put back after it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from kdbench.recipe import Precision

#: cuBLAS gives the same bits on every stream only with a workspace of its own. It reads this when its first handle is
#: made, and PyTorch when it first multiplies, whether deterministically or not: later in the process is too late.
CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def numerics(precision: Precision, deterministic: bool = False) -> Iterator[None]:
    """Float32 products may round to TF32 where the recipe says so, and nowhere else.

    `deterministic` allows only algorithms that give the same bits every time: on CUDA a method with an operator that
    has none fails, with the operator's name. On a CPU training is bit-exact with and without it.
    """
    tf32 = precision == "tf32"
    products = torch.get_float32_matmul_precision()
    exact = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault(*CUBLAS_WORKSPACE)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.use_deterministic_algorithms(deterministic)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=tf32
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(exact)
        torch.set_float32_matmul_precision(products)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Networks inside compute in `dtype`; float32 means no autocast."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)
