"""What the kernel benchmark runs: operators, sizes, implementations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kdbench import losses

#: DSKD's teacher, two shallow heads and the last one.
HEADS = 3
OPERATORS = ("kd", "ce_kd", "deep_kd", "deep_mse")
IMPLEMENTATIONS = ("reference", "compiled", "analytic", "inductor", "triton")
#: Where the others are timed; the rest everywhere. Inductor would take minutes of a GPU's time to compile all sizes.
ONLY_ON = {"inductor": "cpu", "triton": "cuda"}
#: The pair of losses that every step of DSKD computes, with the sizes of ResNet32×4 → ResNet8×4 on CIFAR-100.
PAIR = "deep_kd+deep_mse"

Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One operator at one size: logits [batch, shape], or maps [batch, *shape], or both for the pair."""

    operator: str
    batch: int
    classes: int = 0
    map_shape: tuple[int, ...] = ()

    @property
    def size(self) -> str:
        parts = [str(self.classes)] if self.classes else []
        if self.map_shape:
            parts.append("×".join(map(str, self.map_shape)))
        return f"{self.batch} × {' and '.join(parts)}"

    @property
    def bytes(self) -> int:
        """Fewest bytes of both passes in float32: each input read once, each gradient written once."""
        elements = 0
        for name in self.operator.split("+"):
            heads = HEADS if name.startswith("deep") else 1
            elements += (2 * heads + 1) * self.batch * self._width(name)
        return 4 * elements + (8 * self.batch if self.operator == "ce_kd" else 0)

    @property
    def gradient_bytes(self) -> int:
        """The part of `bytes` that is gradients."""
        names = self.operator.split("+")
        return 4 * sum((HEADS if n.startswith("deep") else 1) * self.batch * self._width(n) for n in names)

    def _width(self, name: str) -> int:
        return torch.Size(self.map_shape).numel() if name == "deep_mse" else self.classes

    def bind(self, implementation: str, device: torch.device) -> tuple[Callable[[], Outputs], list[Tensor]]:
        """(the operators as a function of nothing, their leaves that get gradients), on fresh random inputs."""
        calls, leaves = [], []
        for name in self.operator.split("+"):
            shape = (self.batch, *(self.map_shape if name == "deep_mse" else (self.classes,)))
            heads = [
                torch.randn(shape, device=device, requires_grad=True)
                for _ in range(HEADS if name.startswith("deep") else 1)
            ]
            teacher = torch.randn(shape, device=device)
            arguments: tuple[Any, ...] = (heads[0], teacher)
            if name == "ce_kd":
                arguments = (heads[0], teacher, torch.randint(self.classes, (self.batch,), device=device))
            elif name.startswith("deep"):
                arguments = (teacher, heads[:-1], heads[-1])
            calls.append((operator(implementation, name), arguments))
            leaves += heads
        return lambda: _flat([call(*arguments) for call, arguments in calls]), leaves


def operator(implementation: str, name: str) -> Callable[..., Any]:
    """`name` as one implementation computes it; `compiled` is the reference under `torch.compile`."""
    backend = "reference" if implementation == "compiled" else implementation
    function: Callable[..., Any] = partial(getattr(losses, name), backend=backend)
    return torch.compile(function, dynamic=False) if implementation == "compiled" else function


def _flat(results: Sequence[Any]) -> Outputs:
    return tuple(x for result in results for x in (result if isinstance(result, tuple) else (result,)))


def _sizes(logits: Sequence[tuple[int, int]], batches: Sequence[int]) -> list[Case]:
    cases = [Case(name, *size) for name in ("kd", "ce_kd", "deep_kd") for size in logits]
    return cases + [Case("deep_mse", batch, 0, (256, 8, 8)) for batch in batches]


#: The paper's batch: launches and operators' overhead.
PAPER = [Case(PAIR, 64, 100, (256, 8, 8)), *_sizes([(64, 100)], [64])]
#: Beyond the caches of a CPU, and small enough for one.
MEDIUM = _sizes([(4096, 100), (4096, 1000)], [512])
#: Several times the L2 cache of an H200.
BEYOND = _sizes([(65536, 1000)], [2048])
#: Others that are large, or larger.
LARGE = _sizes([(16384, 1000), (65536, 100)], [8192])
#: What can be asked for by name, and where it is timed unless it is: a CPU would take minutes for a large one.
SIZES = {"paper": PAPER, "medium": MEDIUM, "beyond": BEYOND, "large": LARGE}
BY_DEFAULT = {"cpu": ("paper", "medium"), "cuda": tuple(SIZES)}
