"""timm's features as maps [B, C, H, W], and back: some networks compute in [B, H, W, C], some on tokens [B, N, C]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How a network holds a map: `nchw`, `nhwc`, or as tokens, row by row, behind `prefix` others."""

    form: Literal["nchw", "nhwc", "tokens"]
    prefix: int = 0

    def as_map(self, native: Tensor, size: tuple[int, int]) -> Tensor:
        """[B, C, H, W] of what the network computes; `size` is (H, W)."""
        match self.form:
            case "nchw":
                return native
            case "nhwc":
                return native.permute(0, 3, 1, 2)
            case "tokens":
                return native[:, self.prefix :].transpose(1, 2).unflatten(2, size)

    def as_native(self, maps: Tensor) -> Tensor:
        """What the network computes, of [B, C, H, W]; other tokens than the map's are 0."""
        match self.form:
            case "nchw":
                return maps
            case "nhwc":
                return maps.permute(0, 2, 3, 1)
            case "tokens":
                tokens = maps.flatten(2).transpose(1, 2)
                others = tokens.new_zeros(len(tokens), self.prefix, tokens.shape[2])
                return torch.cat([others, tokens], dim=1) if self.prefix else tokens


def layout_of(native: object, maps: Tensor) -> Layout | None:
    """In which layout `native` is `maps` [B, C, H, W]; None where it is not these numbers in any."""
    if not isinstance(native, Tensor):
        return None
    size = (maps.shape[2], maps.shape[3])
    found = [layout for layout in _possible(native, size) if layout.as_map(native, size).shape == maps.shape]
    return next((layout for layout in found if torch.equal(layout.as_map(native, size), maps)), None)


def final_layout(native: object, size: tuple[int, int], channels_last: bool) -> Layout | None:
    """The layout of what the network's head is given, whose map may have the `size` (H, W)."""
    if not isinstance(native, Tensor):
        return None
    if native.ndim == 4:
        return Layout("nhwc" if channels_last else "nchw")
    return next((layout for layout in _possible(native, size) if layout.form == "tokens"), None)


def _possible(native: Tensor, size: tuple[int, int]) -> list[Layout]:
    if native.ndim == 4:
        return [Layout("nchw"), Layout("nhwc")]
    prefix = native.shape[1] - size[0] * size[1] if native.ndim == 3 else -1
    return [Layout("tokens", prefix)] if prefix >= 0 else []
