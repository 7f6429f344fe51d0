"""What a method tells of single samples: values that its loss computes and then sums away."""

from __future__ import annotations

import torch
from torch import Tensor

from kdbench.data.batches import eval_batches
from kdbench.data.delivery import eval_batch, training_images
from kdbench.data.split import Split
from kdbench.data.streamed import AnyDataset
from kdbench.method import Batch, Method
from kdbench.model import Outputs
from kdbench.training.member import FrozenTeacher, Member, teacher_outputs


def diagnoses(method: type[Method]) -> bool:
    """Whether a method tells anything of single samples."""
    return method.diagnose is not Method.diagnose


def probe(dataset: AnyDataset) -> Tensor:
    """Positions of the training images that are looked at after every epoch: one evaluation batch, evenly spread."""
    size = len(dataset.train.labels)
    count = min(eval_batch(dataset), size)
    return torch.arange(count) * size // count


@torch.no_grad()
def diagnose(
    member: Member,
    teacher: FrozenTeacher | None,
    dataset: AnyDataset,
    part: Split,
    positions: Tensor,
    device: torch.device,
) -> dict[str, Tensor]:
    """The method's values by name, each [N] on the CPU, for `part`, the training images at `positions` [N].

    Images are not augmented, and network and modules are in eval mode: a sample's value then depends on no other
    sample, and nothing that is being trained changes.
    """
    found: dict[str, list[Tensor]] = {}
    member.network.eval()
    member.method.eval()
    try:
        batches = eval_batches(part, dataset.mean, dataset.std, eval_batch(dataset), device)
        for (images, labels), index in zip(batches, torch.split(positions, eval_batch(dataset)), strict=True):
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


def diagnose_all(
    member: Member, teacher: FrozenTeacher | None, dataset: AnyDataset, device: torch.device
) -> dict[str, Tensor]:
    """The method's values of every training image, by name, each [N] on the CPU."""
    found: dict[str, list[Tensor]] = {}
    for positions in torch.split(torch.arange(len(dataset.train.labels)), eval_batch(dataset)):
        part = training_images(dataset, member.run.recipe.augmentation, positions)
        for name, values in diagnose(member, teacher, dataset, part, positions, device).items():
            found.setdefault(name, []).append(values)
    return {name: torch.cat(parts) for name, parts in found.items()}
