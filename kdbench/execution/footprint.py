"""Memory that a cohort takes, told before it is trained by a forward pass without data or memory."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

from kdbench.data.augment import side_of
from kdbench.data.dataset import DatasetInfo
from kdbench.inputs.places import asking
from kdbench.meta import without_data
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.training.member import method_of


class Footprint:
    """Bytes of cohorts on one data set; the methods' own modules and the libraries' workspaces are not counted."""

    def __init__(self, registry: Registry, info: DatasetInfo):
        self._registry = registry
        self._info = info
        self._network = cache(self._build)
        self._trained: dict[tuple[str, int, int], int] = {}

    def cohort(self, runs: Iterable[Run]) -> int:
        """Images and labels, the teacher, each run's network in training, and what methods declare to keep."""
        runs = list(runs)
        # Of images in files no more is on the device than a batch.
        pixels = (self._info.input_size or 0) ** 2
        data = (self._info.train_size + self._info.test_size) * (3 * pixels + torch.int64.itemsize)
        teachers = {run.teacher.architecture for run in runs if run.teacher}
        return data + sum(map(self.weights, teachers)) + sum(map(self._run, runs))

    def _run(self, run: Run) -> int:
        key = run.student, run.recipe.part_size, side_of(self._info, run.recipe.augmentation)
        if key not in self._trained:
            self._trained[key] = training_bytes(self._network(run.student), *key[1:])
        # Beyond weights, gradients and one average of the gradients.
        beyond = (run.recipe.state_copies - 2) * self.weights(run.student)
        method, params = method_of(run, self._registry)
        with asking(method, "memory_bytes"):
            return self._trained[key] + beyond + method.memory_bytes(params, self._info.train_size)

    def weights(self, architecture: str) -> int:
        """Bytes of a network's parameters in float32."""
        return sum(parameter.nbytes for parameter in self._network(architecture).parameters())

    def _build(self, architecture: str) -> nn.Module:
        network = self._registry.architecture(architecture)
        with without_data():
            return network.build(self._info.num_classes)


def training_bytes(model: nn.Module, batch_size: int, input_size: int) -> int:
    """Weights, gradients and momenta of a model on the meta device, and what its forward pass keeps for the backward
    pass of a batch, in float32.
    """
    weights = sum(parameter.nbytes for parameter in model.parameters())
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Operators share what they keep; a storage counts once.
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.empty(batch_size, 3, input_size, input_size, device="meta"))
    activations = sum(t.untyped_storage().nbytes() for storage, t in kept.items() if storage not in own)
    return 3 * weights + activations
