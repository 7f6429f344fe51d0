"""Check of labels as class probabilities, which label smoothing, mixup and cutmix make of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdbench.checks.bench import NUM_CLASSES
from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault
from kdbench.checks.trainee import Terms
from kdbench.inputs.places import describe, homes
from kdbench.method import Batch
from kdbench.model import Outputs


def soft_labels(case: Case) -> None:
    """Class probabilities that are certain of a class give the terms that its index gives."""
    if case.needs.class_indices:
        raise Exempt("not applicable", "the method declares that labels must be class indices")
    advice = (
        "let `cross_entropy` or an operator of kdbench.losses take the labels, which know both kinds, or declare "
        "`Needs(…, class_indices=True)`: recipes with such labels are then declined"
    )
    certain = case.trainee(wrap=_with_probabilities)
    try:
        certain.step(epoch=1, step=0)
    except Exception as error:
        raise Fault(
            f"with labels as class probabilities [B, K]: {describe(error, homes(case.judged))}", advice
        ) from error
    for name, value in case.first.terms.items():
        if not torch.allclose(certain.terms[name], value, rtol=1e-3, atol=1e-6, equal_nan=True):
            raise Fault(
                f"term '{name}' is {certain.terms[name].item():.6g} with labels as class probabilities [B, K] and "
                f"{value.item():.6g} with the same classes as indices",
                advice,
            )


def _with_probabilities(terms: Terms) -> Terms:
    def called(student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        soft = one_hot(batch.labels, NUM_CLASSES).float()
        return terms(student, teacher, Batch(soft, **batch._values))

    return called
