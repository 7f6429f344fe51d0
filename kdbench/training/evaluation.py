"""Accuracy on a whole split, on the device."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kdbench.data.batches import eval_batches
from kdbench.data.dataset import Dataset
from kdbench.data.split import Split
from kdbench.training.numerics import autocast

#: Fixed, so that a result does not depend on what else is trained.
EVAL_BATCH = 500


def evaluate(
    model: nn.Module, dataset: Dataset, split: Split, dtype: torch.dtype, go_on: Callable[[], None] = lambda: None
) -> tuple[float, float]:
    """(top-1 accuracy in per cent, mean cross-entropy) of `model` in eval mode; its training flag is left as it was.

    `go_on` is called before each batch; what it raises ends the evaluation.
    """
    correct, loss = tally(model, dataset, split, dtype, go_on)
    count = len(split.labels)
    return 100.0 * correct.item() / count, loss.item() / count


@torch.no_grad()
def tally(
    model: nn.Module, dataset: Dataset, split: Split, dtype: torch.dtype, go_on: Callable[[], None] = lambda: None
) -> tuple[Tensor, Tensor]:
    """(number of right answers, summed cross-entropy), scalars on the split's device, which nothing here waits for."""
    was_training = model.training
    model.eval()
    device = split.labels.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    batches = eval_batches(split, mean=dataset.mean, std=dataset.std, batch_size=EVAL_BATCH, device=device)
    try:
        for images, labels in batches:
            go_on()
            logits = forward(model, images, dtype).float()
            correct += (logits.argmax(dim=1) == labels).sum()
            loss += cross_entropy(logits, labels, reduction="sum")
    finally:
        model.train(was_training)
    return correct, loss


def forward(model: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Logits in the given precision; float32 means no autocast."""
    with autocast(images.device, dtype):
        logits: Tensor = model(images)
    return logits
