"""Random numbers of layers, such as dropout: PyTorch's draw from the global generator of their device, which a run
must not depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class RandomLayers:
    """What a network's layers draw from in a step. Parts of a batch, one after the other, go on with it."""

    def __init__(self, device: torch.device):
        self._own = torch.Generator(device)
        self._device = device

    def reseed(self, seed: int) -> None:
        """Begin a step."""
        self._own.manual_seed(seed)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Inside the context the global generator is in the step's state; behind it, in the state that it was in."""
        everybodys = self._everybodys()
        before = everybodys.get_state()
        everybodys.set_state(self._own.get_state())
        try:
            yield
        finally:
            self._own.set_state(everybodys.get_state())
            everybodys.set_state(before)

    def _everybodys(self) -> torch.Generator:
        if self._device.type == "cpu":
            return torch.default_generator
        index = torch.cuda.current_device() if self._device.index is None else self._device.index
        return torch.cuda.default_generators[index]
