"""The exponential moving average of what a run trains."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """average ← decay · average + (1 - decay) · now, after every step, from the initial weights on.

    `module` is a copy of `source` that holds it. Norms' running statistics are averaged as weights are, and whole
    numbers, such as a norm's count of batches, are copied, as timm's ModelEmaV3 does.
    """

    def __init__(self, source: nn.Module, decay: float):
        self.module = copy.deepcopy(source).eval().requires_grad_(False)
        self._weight = 1 - decay
        pairs = list(zip(_tensors(self.module), _tensors(source), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What a step changes, by name."""
        return dict(self.module.state_dict())

    @torch.no_grad()
    def update(self) -> None:
        """Take in what a step made. Nothing here waits for the device."""
        averages, now = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(averages, now, self._weight)
        for average, value in self._copied:
            average.copy_(value)


def _tensors(module: nn.Module) -> list[Tensor]:
    """What a checkpoint holds of a module; what has two names once, or it would be averaged twice."""
    return list({id(tensor): tensor for tensor in module.state_dict(keep_vars=True).values()}.values())
