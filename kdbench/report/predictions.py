"""What finished runs predict: agreement with the teacher, and calibration. Their saved weights are loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kdbench.cells import Cell
from kdbench.data.delivery import test_images
from kdbench.data.streamed import AnyDataset
from kdbench.execution.loaders import loaders
from kdbench.execution.teachers import TeacherShelf
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.report.results import CellResult, Summary
from kdbench.run import Run
from kdbench.store.store import Store
from kdbench.store.weights import load_weights
from kdbench.training.evaluation import forward
from kdbench.training.member import Member
from kdbench.training.numerics import numerics

#: Bins of equal width over the confidence, as Guo et al. (ICML 2017) use them.
BINS = 15


@dataclass(frozen=True)
class CellPredictions:
    """One value a seed, in per cent of the test set. `agreement`: student and the pair's teacher name the same class;
    `calibration`: expected calibration error.
    """

    cell: Cell
    agreement: Summary
    calibration: Summary

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            **self.cell.as_json(),
            "agreement": self.agreement.as_json(),
            "calibration_error": self.calibration.as_json(),
        }


class Predictor:
    """Loads runs' deployed networks and asks them about the test set. Raises `UserError` if torchmetrics is missing."""

    def __init__(
        self, store: Store, registry: Registry, dataset: AnyDataset, device: torch.device, shelf: TeacherShelf
    ):
        self._metrics = _torchmetrics()
        self._store = store
        self._registry = registry
        self._dataset = dataset
        self._device = device
        self._shelf = shelf
        self._loaders = loaders(device, registry)
        self._labels = dataset.test.labels.cpu()
        self._of_teacher: dict[str, Tensor] = {}

    def predictions(self, results: Sequence[CellResult]) -> list[CellPredictions]:
        """Every cell that has a finished run; `UserError` if the weights of one are missing or damaged."""
        return [self._cell(result) for result in results if result.seeds]

    def _cell(self, result: CellResult) -> CellPredictions:
        teacher = self._teacher_classes(result.cell)
        agreement, calibration = [], []
        for run in result.cell.runs:
            if run.seed in result.seeds:
                logits = self._logits(self._deployed(run), run)
                agreement.append(100 * (logits.argmax(dim=1) == teacher).double().mean().item())
                calibration.append(self._calibration_error(logits))
        return CellPredictions(result.cell, Summary(tuple(agreement)), Summary(tuple(calibration)))

    def _teacher_classes(self, cell: Cell) -> Tensor:
        key = cell.teacher.key
        if key not in self._of_teacher:
            network = self._shelf.teacher(cell.teacher, cell.runs[0].recipe).network
            self._of_teacher[key] = self._logits(network, cell.runs[0]).argmax(dim=1)
        return self._of_teacher[key]

    def _deployed(self, run: Run) -> nn.Module:
        """The network as deployed: built the way training built it, since a method may deploy modules of its own."""
        teacher = self._shelf.teacher(run.teacher, run.recipe) if run.teacher else None
        pre_stage = self._shelf.pre_stage(run.pre_stage) if run.pre_stage else None
        member = Member(run, self._registry, self._dataset, teacher, pre_stage, self._device)
        load_weights(member.deployed, self._store.weights_path(run.id), run.student)
        return member.deployed.eval()

    @torch.no_grad()
    def _logits(self, network: nn.Module, run: Run) -> Tensor:
        """Logits of the test set in the run's precision, [N, K] float32 on the CPU."""
        batches = test_images(self._dataset, run.recipe.augmentation, self._device, self._loaders)
        with numerics(run.recipe.precision):
            return torch.cat([forward(network, images, run.recipe.autocast).float().cpu() for images, _ in batches])

    def _calibration_error(self, logits: Tensor) -> float:
        error = self._metrics.multiclass_calibration_error(
            logits.softmax(dim=1), self._labels, num_classes=logits.shape[1], n_bins=BINS, norm="l1"
        )
        return 100 * float(error)


def _torchmetrics() -> ModuleType:
    try:
        from torchmetrics.functional import classification
    except ImportError:
        raise UserError("this needs torchmetrics; install it with `pip install 'kdbench[metrics]'`.") from None
    module: ModuleType = classification
    return module
