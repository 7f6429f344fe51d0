"""Accuracy on a whole split, on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kdbench.inputs.places import exits_refused
from kdbench.training.numerics import autocast

#: Top-5 accuracy is told where there are more classes than this: of few, five are most of them.
FEW_CLASSES = 20


@dataclass(frozen=True)
class Score:
    """Of one model on a whole split: accuracies in per cent, and the mean cross-entropy.

    `top5` counts labels among the five largest logits; None where there are no more than `FEW_CLASSES` classes.
    """

    top1: float
    loss: float
    top5: float | None


class Tally:
    """Right answers and cross-entropy of a model, summed over batches on the device, which no batch waits for."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, device: torch.device):
        self.model = model
        self._dtype = dtype
        #: Labels that the largest logit names, and those among the five largest.
        self._right = torch.zeros(2, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._images = 0
        self._classes = 0

    @torch.no_grad()
    def add(self, images: Tensor, labels: Tensor) -> None:
        """Ask the model, which must be in eval mode, about a batch."""
        logits = forward(self.model, images, self._dtype).float()
        self._images, self._classes = self._images + len(labels), logits.shape[1]
        self._right[0] += (logits.argmax(dim=1) == labels).sum()
        if self._classes > FEW_CLASSES:
            self._right[1] += (logits.topk(5).indices == labels[:, None]).sum()
        self._loss += cross_entropy(logits, labels, reduction="sum")

    def score(self) -> Score:
        """Of all batches so far; waits for the device."""
        top1, top5 = (100.0 * right / self._images for right in self._right.tolist())
        return Score(top1, self._loss.item() / self._images, top5 if self._classes > FEW_CLASSES else None)


def tally(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], dtype: torch.dtype, device: torch.device
) -> Tally:
    """`model` asked about batches of images and labels on `device`, which nothing here waits for."""
    asked = Tally(model, dtype, device)
    with evaluating(model):
        for images, labels in batches:
            asked.add(images, labels)
    return asked


def evaluate(
    models: Mapping[str, nn.Module],
    batches: Iterable[tuple[Tensor, Tensor]],
    dtype: torch.dtype,
    device: torch.device,
    go_on: Callable[[], None],
) -> tuple[dict[str, Score], dict[str, Exception]]:
    """The scores of several models on the same batches, and of those that raised what they raised.

    `go_on` is called before a model is asked about a batch; what it raises ends the evaluation, as want of memory does.
    """
    tallies = {name: Tally(model, dtype, device) for name, model in models.items()}
    faults: dict[str, Exception] = {}

    def attempt(name: str, work: Callable[[], object]) -> None:
        try:
            with exits_refused():
                work()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            faults[name] = error

    with contextlib.ExitStack() as modes:
        for name, asked in tallies.items():
            attempt(name, partial(modes.enter_context, evaluating(asked.model)))
        for images, labels in batches if tallies else ():
            for name in [name for name in tallies if name not in faults]:
                go_on()
                attempt(name, partial(tallies[name].add, images, labels))
            if faults.keys() == tallies.keys():
                break
    return {name: asked.score() for name, asked in tallies.items() if name not in faults}, faults


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside the context `model` is in eval mode; then its training flag is as it was."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def forward(model: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Logits in the given precision; float32 means no autocast."""
    with autocast(images.device, dtype):
        logits: Tensor = model(images)
    return logits
