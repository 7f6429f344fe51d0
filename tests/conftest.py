"""One thread, for tensors are small; no deadlines; Triton's interpreter without a GPU; long tests first."""

import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from kdbench.store import kept
from kdbench.training.numerics import CUBLAS_WORKSPACE

torch.set_num_threads(1)
# An example may take as long as a busy machine needs.
settings.register_profile("kdbench", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kdbench")
# What tests find local data and networks to be is of no use to anybody later.
_CACHE = tempfile.TemporaryDirectory(prefix="kdbench-")
kept.cache_folder = lambda: Path(_CACHE.name)
# A test that multiplies without any numerics may come before one that must be deterministic.
os.environ.setdefault(*CUBLAS_WORKSPACE)

# Before any test module is imported: Triton decides when it is, and PyTorch's own modules import it.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first, so that of two processes none ends with one of them while the other has nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
