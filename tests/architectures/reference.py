"""Numbers of RepDistiller's networks (`reference.json`), and the weights and images that they belong to.

Weights and images are a formula of their name and shape, so any implementation can be given the same.
"""

import hashlib
import itertools
import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).with_name("reference.json")


def reference() -> dict[str, Any]:
    """What the file holds, by network."""
    networks: dict[str, Any] = json.loads(FILE.read_text())["networks"]
    return networks


def expand(table: dict[str, list[int]]) -> dict[str, list[int]]:
    """Names and shapes of all tensors: `{a,b}` and `{0..3}` in a name stand for each of what they list, as in a
    shell.
    """
    return {
        "".join(parts): shape
        for pattern, shape in table.items()
        for parts in itertools.product(*(_choices(part) for part in re.findall(r"\{[^}]*\}|[^{}]+", pattern)))
    }


def _choices(part: str) -> list[str]:
    if not part.startswith("{"):
        return [part]
    first, dots, last = part[1:-1].partition("..")
    return [str(n) for n in range(int(first), int(last) + 1)] if dots else first.split(",")


def names_sha256(shapes: dict[str, list[int]]) -> str:
    """Digest of the sorted "name shape" lines."""
    lines = sorted(f"{name} {list(shape)}" for name, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def uniform(name: str, shape: list[int]) -> Tensor:
    """Numbers in [−1, 1), a hash (splitmix64) of `name` and the position."""
    x = np.arange(math.prod(shape), dtype=np.uint64) + (np.uint64(zlib.crc32(name.encode())) << np.uint64(32))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x ^= x >> np.uint64(31)
    return torch.from_numpy((x >> np.uint64(11)).astype(np.float64) / 2**52 - 1).reshape(shape)


def fill(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """A state dict by formula: convolutions of He's variance, batch norms near the identity."""
    return {name: _fill_one(name, shape) for name, shape in shapes.items()}


def _fill_one(name: str, shape: list[int]) -> Tensor:
    u = uniform(name, shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        return 1 + 0.5 * u
    if len(shape) > 1:
        return u * math.sqrt(6 / math.prod(shape[1:]))
    return 0.75 + 0.25 * u if name.endswith("weight") else 0.1 * u


def images(size: int) -> Tensor:
    """Two images [2, 3, size, size]."""
    return uniform("images", [2, 3, size, size])
