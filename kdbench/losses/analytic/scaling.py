"""The last step of a closed-form gradient: its product with what the upstream gradient and the batch make of it."""

import torch
from torch import Tensor

from kdbench.losses.analytic.blocks import blocks


def headroom(dtype: torch.dtype) -> float:
    """What slopes, from -1 to 1, are multiplied by while they wait in `dtype`.

    In float16 most of those of many classes would fall under the smallest normal number, though a loss scaler's
    upstream gradient lifts the gradient.
    """
    return 2.0**15 if dtype == torch.float16 else 1.0


def scaled(gradient: Tensor, factor: Tensor, in_place: bool) -> Tensor:
    """`gradient` [B, ...] · `factor` (a scalar or [B, 1, ...]) in the gradient's type, multiplied in the factor's.

    `in_place` has the gradient's own memory take the product.
    """
    if gradient.dtype == factor.dtype:
        return gradient.mul_(factor) if in_place else gradient.mul(factor)
    result = gradient if in_place else torch.empty_like(gradient)
    for part in blocks(len(gradient), gradient.shape[1:].numel() * factor.itemsize, gradient.device):
        result[part] = gradient[part].to(factor.dtype) * (factor[part] if factor.dim() else factor)
    return result
