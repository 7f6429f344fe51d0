"""What a method tells of single samples: values that its loss computes and then sums away."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.data.batches import EVAL_BATCH, eval_batches
from kdbench.data.dataset import Dataset
from kdbench.data.split import Split
from kdbench.method import Batch, Method
from kdbench.model import Outputs
from kdbench.training.member import FrozenTeacher, Member, teacher_outputs


def diagnoses(method: type[Method]) -> bool:
    """Whether a method tells anything of single samples."""
    return method.diagnose is not Method.diagnose


def probe(dataset: Dataset) -> Tensor:
    """Positions of the training images that are looked at after every epoch: one evaluation batch, evenly spread."""
    size = len(dataset.train.labels)
    return torch.arange(min(EVAL_BATCH, size)) * size // min(EVAL_BATCH, size)


@torch.no_grad()
def diagnose(
    member: Member, teacher: FrozenTeacher | None, dataset: Dataset, positions: Tensor, device: torch.device
) -> dict[str, Tensor]:
    """The method's values by name, each [N] on the CPU, for the training images at `positions` [N].

    Images are not augmented, and network and modules are in eval mode: a sample's value then depends on no other
    sample, and nothing that is being trained changes.
    """
    part = Split(dataset.train.images[positions], dataset.train.labels[positions])
    found: dict[str, list[Tensor]] = {}
    member.network.eval()
    member.method.eval()
    try:
        batches = eval_batches(part, dataset.mean, dataset.std, EVAL_BATCH, device)
        for (images, labels), index in zip(batches, torch.split(positions, EVAL_BATCH), strict=True):
            outputs = member.outputs(images)
            targets = Outputs()
            if teacher:
                targets = teacher_outputs(teacher, images, member.run.recipe.autocast, member.needs.teacher)
            batch = Batch(labels, index=index.to(device))
            values = member.method.diagnose(outputs, targets, batch)
            for name, value in values.items():
                found.setdefault(name, []).append(value.cpu())
    finally:
        member.network.train(not member.frozen)
        member.method.train()
    return {name: torch.cat(parts) for name, parts in found.items()}
