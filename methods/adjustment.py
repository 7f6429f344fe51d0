"""Knowledge adjustment: what is done to a teacher's prediction where it is wrong."""

import math
from typing import Literal

import torch
from torch import Tensor

from kdbench.method import MethodParams, param


class AdjustmentParams(MethodParams):
    """Parameters of methods that adjust the teacher."""

    adjust: Literal["ps", "lsr"] = param(
        "ps",
        "what corrects a wrong row: ps (probability shift) swaps the values of the predicted class and the label",
        alternatives="lsr: the label smoothed over all classes takes the row's place",
    )
    smoothing: float = param(0.9, "probability of the label under lsr; the other classes share the rest", gt=0, lt=1)


def adjusted(logits: Tensor, labels: Tensor, tau: float | Tensor, params: AdjustmentParams) -> Tensor:
    """Teacher logits [B, K] with A(p_T^τ) as their softmax at temperature τ, which is a number or [B]."""
    if params.adjust == "ps":
        return shifted(logits, labels)
    return smoothed(logits, labels, tau, params.smoothing)


def shifted(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits with the values of the predicted class and the label swapped, as the probabilities then are at any τ."""
    predicted, label = logits.argmax(dim=1, keepdim=True), labels.unsqueeze(1)
    classes = torch.arange(logits.shape[1], device=logits.device)
    swapped = torch.where(classes == label, logits.gather(1, predicted), logits)
    return torch.where(classes == predicted, logits.gather(1, label), swapped)


def smoothed(logits: Tensor, labels: Tensor, tau: float | Tensor, smoothing: float) -> Tensor:
    """Logits with τ·ln p in wrong rows, p the smoothed label: their softmax at τ is p itself."""
    predicted, label = logits.argmax(dim=1, keepdim=True), labels.unsqueeze(1)
    classes = torch.arange(logits.shape[1], device=logits.device)
    rest = (1 - smoothing) / (logits.shape[1] - 1)
    log_p = torch.full_like(logits, math.log(rest)).masked_fill(classes == label, math.log(smoothing))
    return torch.where(predicted == label, logits, log_p * (tau.unsqueeze(1) if isinstance(tau, Tensor) else tau))
