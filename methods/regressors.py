"""Taps and spatial alignment that several methods share."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from kdbench.model import Feature, Outputs, Shapes

#: Where a network's last map is taken: `last_stage` (before the neck; raw in some families) or what enters pooling.
MapTap = Literal["last_stage", "final_map"]
FEATURE_OF: dict[MapTap, Feature] = {"last_stage": "stages", "final_map": "final_map"}


def last_map(outputs: Outputs, tap: MapTap) -> Tensor:
    """The network's last map [B, C, H, W]."""
    return outputs.stages[-1] if tap == "last_stage" else outputs.final_map


def last_map_shape(shapes: Shapes, tap: MapTap) -> tuple[int, int, int]:
    """(C, H, W) of `last_map`."""
    return shapes.stages[-1] if tap == "last_stage" else shapes.final_map


def average_pool(x: Tensor, height: int, width: int) -> Tensor:
    """Maps [B, C, H, W] averaged down to [B, C, height, width].

    Plain means where the size divides: the gradient of adaptive pooling is not deterministic on CUDA.
    """
    if x.shape[2] % height == 0 and x.shape[3] % width == 0:
        return x.unflatten(3, (width, -1)).unflatten(2, (height, -1)).mean(dim=(3, 5))
    return adaptive_avg_pool2d(x, (height, width))


def shrink(x: Tensor, height: int, width: int) -> Tensor:
    """Maps pooled to at most height × width."""
    height, width = min(height, x.shape[2]), min(width, x.shape[3])
    return x if x.shape[2:] == (height, width) else average_pool(x, height, width)


def shrink_larger(student_map: Tensor, teacher_map: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps at one size: the larger is pooled to the smaller."""
    return shrink(student_map, *teacher_map.shape[2:]), shrink(teacher_map, *student_map.shape[2:])
