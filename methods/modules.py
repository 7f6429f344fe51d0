"""Modules and map operations that several methods share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from kdbench.model import StagedModel
from kdbench_methods.regressors import average_pool


def branches(student: StagedModel, after: tuple[int, ...]) -> nn.ModuleList:
    """Auxiliary classifiers behind the given stages (1-based), each a fresh copy of the main branch that follows."""
    return nn.ModuleList(student.branch(after=stage) for stage in after)


class AlignHead(nn.Sequential):
    """SemCKD's embedding: 1×1 (C → 2·C_T) - BN - ReLU - 3×3 - BN - ReLU - 1×1 (→ C_T), no bias; size unchanged."""

    def __init__(self, channels: int, target_channels: int):
        wide = 2 * target_channels
        super().__init__(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, target_channels, 1, bias=False),
        )


class ConvAlign(nn.Sequential):
    """1×1 (C → C_T) - BN - ReLU, no bias; size unchanged (CA-MKD's projection)."""

    def __init__(self, channels: int, target_channels: int):
        super().__init__(
            nn.Conv2d(channels, target_channels, 1, bias=False),
            nn.BatchNorm2d(target_channels),
            nn.ReLU(inplace=True),
        )


class Frozen(nn.Module):
    """A copy of `module` that stays in eval mode without gradients, whatever its owner does.

    It moves between devices and types with its owner, but is none of its parameters, modules or state: it is neither
    trained, nor counted, nor saved a second time. Reach it as `frozen.module`.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        # nn.Module registers what is assigned to it, but does not look into a tuple.
        self._unregistered = (copy.deepcopy(module).eval().requires_grad_(False),)

    @property
    def module(self) -> Any:
        """The frozen module."""
        return self._unregistered[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        # What `.to()`, `.double()` and their like go through.
        self.module._apply(fn, recurse)
        return super()._apply(fn, recurse)


def as_map(features: Tensor) -> Tensor:
    """A vector [B, D] as a map [B, D, 1, 1]; a map unchanged."""
    return features if features.dim() == 4 else features[:, :, None, None]


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Adaptive average pooling of maps [B, C, H, W] to `size`: bins are averaged, or replicated where the map grows.

    Replication by a whole factor is spelled out: the gradient of adaptive pooling is not deterministic on CUDA.
    """
    (height, width), (new_height, new_width) = x.shape[2:], size
    if (height, width) == (new_height, new_width):
        return x
    if new_height % height == 0 and new_width % width == 0:
        cells = x[:, :, :, None, :, None].expand(-1, -1, -1, new_height // height, -1, new_width // width)
        return cells.reshape(*x.shape[:2], new_height, new_width)
    return average_pool(x, new_height, new_width)
