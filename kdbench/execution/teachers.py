"""Trained teachers and pre-stages, brought back from their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from kdbench.data.augment import side_of
from kdbench.data.streamed import AnyDataset
from kdbench.inputs.errors import UserError
from kdbench.method import Build, Method
from kdbench.model import place
from kdbench.recipe import Recipe
from kdbench.registry import Registry
from kdbench.run import Run, Teacher
from kdbench.store.store import Store
from kdbench.store.weights import load_weights, verify_weights
from kdbench.training.member import FrozenTeacher, method_of


class TeacherShelf:
    """Frozen teachers, each loaded once for a size of images.

    `imported` maps the sha256 of imported weights to their file.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        dataset: AnyDataset,
        device: torch.device,
        imported: Mapping[str, Path],
    ):
        self._store = store
        self._registry = registry
        self._dataset = dataset
        self._device = device
        self._imported = imported
        self._loaded: dict[tuple[str, int], FrozenTeacher] = {}

    def teacher(self, teacher: Teacher, recipe: Recipe) -> FrozenTeacher:
        """The teacher on the device, in eval mode, without gradients, for images as `recipe` has them.

        Raises `UserError` if its file does not fit.
        """
        key = teacher.key, side_of(self._dataset.info, recipe.augmentation)
        if key not in self._loaded:
            self._loaded[key] = self._load(teacher, key[1])
        return self._loaded[key]

    def check_imported(self, runs: Iterable[Run]) -> None:
        """Raise `UserError` if the file of an imported teacher of any of `runs` does not fit."""
        for run in runs:
            if run.teacher and run.teacher.imported:
                self.teacher(run.teacher, run.recipe)

    def _load(self, teacher: Teacher, side: int) -> FrozenTeacher:
        info = self._dataset.info
        architecture = self._registry.architecture(teacher.architecture)
        network = architecture.build(info.num_classes)
        if teacher.trained_by:
            sha256 = self._restore(network, teacher.trained_by)
            record = self._store.record(teacher.trained_by.id)
            top1 = record.top1_last if record else None
        else:
            path = self._imported[str(teacher.imported)]
            metadata = load_weights(network, path, architecture.name)
            sha256 = metadata["sha256"]
            if sha256 != teacher.imported:
                raise UserError(f"{path} is not the file that this command began with; put that back and run again.")
            measured = metadata.get(f"top1 {info.name}")
            top1 = float(measured) if measured else None
        place(network, self._device).eval().requires_grad_(False)
        return FrozenTeacher(network, architecture.shapes(info.num_classes, side), sha256, top1)

    def pre_stage(self, run: Run) -> Method:
        """A trained pre-stage, frozen."""
        assert run.teacher is not None
        teacher = self.teacher(run.teacher, run.recipe)
        method_class, params = method_of(run, self._registry)
        labels, batch_size = self._dataset.train.labels.clone(), run.recipe.batch_size
        # As `Member` builds it for training: the network it sees as its student is the teacher.
        of_teacher = teacher.network, teacher.shapes
        build = Build(*of_teacher, labels, batch_size, *of_teacher, epochs=run.recipe.epochs)
        method = method_class(params, build)
        self._restore(method, run)
        return place(method, self._device).eval().requires_grad_(False)

    def _restore(self, module: nn.Module, run: Run) -> str:
        """Put the weights that a run has left into `module`; their sha256, which is the one that its record names.

        Any others would fit as well, and their students would rest on what nothing tells of.
        """
        path, record = self._store.weights_path(run.id), self._store.record(run.id)
        what = verify_weights(path, record.weights_sha256) if record and record.weights_sha256 else None
        if what:
            raise UserError(
                f"{run.title} has no sound weights ({what}); put the right file at {path}, or give `kdbench results "
                f"repair --results {self._store.root}`, for `kdbench run` to train it again."
            )
        return load_weights(module, path, run.student)["sha256"]
