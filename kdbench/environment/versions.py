"""Versions of the packages that results depend on."""

import functools
import importlib.metadata

PACKAGES = ("kdbench", "torch", "torchvision", "triton", "numpy", "pluggy", "pydantic", "safetensors", "pyarrow")


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
