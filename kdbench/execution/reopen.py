"""A finished run as it was at its end, out of the state that `--keep-final` kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from kdbench.data.streamed import AnyDataset
from kdbench.execution.teachers import TeacherShelf
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.store.records import Record
from kdbench.store.store import Store
from kdbench.training.checkpoint import load_checkpoint, read_checkpoint
from kdbench.training.member import FrozenTeacher, Member


def reopen(
    record: Record,
    store: Store,
    registry: Registry,
    dataset: AnyDataset,
    device: torch.device,
    imported: Mapping[str, Path],
) -> tuple[Member, FrozenTeacher | None]:
    """Network, method and teacher of a run. Raises `UserError` where the state was not kept or data or teacher differ.

    `imported` maps the sha256 of imported teacher weights to their file.
    """
    run, path = record.run, store.final_path(record.id)
    if not path.exists():
        raise UserError(
            f"the state of run {record.id} was not kept: {path} does not exist. Train it with `kdbench run "
            "--keep-final`, into another --results folder or after moving its record away."
        )
    if dataset.checksum != record.data_sha256:
        raise UserError(f"run {record.id} was trained on other data (sha256 {record.data_sha256}); give its --dataset.")
    shelf = TeacherShelf(store, registry, dataset, device, imported)
    if run.teacher and run.teacher.imported and run.teacher.imported not in imported:
        raise UserError(
            f"run {record.id} had an imported teacher; give it with --teacher {run.teacher.architecture}=FILE."
        )
    teacher = shelf.teacher(run.teacher, run.recipe) if run.teacher else None
    if teacher and teacher.sha256 != record.teacher_sha256:
        raise UserError(f"the teacher of run {record.id} was another one (sha256 {record.teacher_sha256}).")
    pre_stage = shelf.pre_stage(run.pre_stage) if run.pre_stage else None
    member = Member(run, registry, dataset, teacher, pre_stage, device)
    load_checkpoint(read_checkpoint(path, run.id), member)
    return member, teacher
