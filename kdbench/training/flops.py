"""Floating-point operations, counted by a pass without data or memory. One multiply-add is two operations."""

from __future__ import annotations

import copy
import functools

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdbench.data.augment import side_of
from kdbench.data.dataset import DatasetInfo
from kdbench.meta import pass_norms_by
from kdbench.model import Architecture
from kdbench.recipe import Recipe
from kdbench.registry import Registry


def forward_flops(model: nn.Module, input_size: int) -> int:
    """Operations of one image's forward pass through `model`, [1, 3, size, size], in matrix products and
    convolutions.
    """
    twin = copy.deepcopy(model).to("meta").eval()
    # They have no such operations.
    pass_norms_by(twin)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin(torch.empty(1, 3, input_size, input_size, device="meta"))
    return int(counter.get_total_flops())


class ForwardFlops:
    """Operations of one image's forward pass through a network by name, as it is built for a data set."""

    def __init__(self, registry: Registry, info: DatasetInfo):
        self._registry = registry
        self._info = info

    def __call__(self, architecture: str, recipe: Recipe) -> int:
        """Operations per image of the size that networks see by `recipe`, at the data set's number of classes."""
        side = side_of(self._info, recipe.augmentation)
        return _counted(self._registry.architecture(architecture), self._info.num_classes, side)


@functools.cache
def _counted(architecture: Architecture, num_classes: int, input_size: int) -> int:
    # On meta nothing is initialised, which takes most of the time.
    with torch.device("meta"):
        model = architecture.build(num_classes)
    return forward_flops(model, input_size)
