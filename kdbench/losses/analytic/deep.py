"""What the two deep losses share: weighting of the heads, and the gradients' last step.

At the paper's size the number of operators costs as much as the arithmetic, so that both are written with few.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from kdbench.losses.analytic.scaling import scaled
from kdbench.losses.fused import Gradients
from kdbench.losses.weighting import EPSILON, loss_based_weights


def combine(losses: Tensor, adaptive: bool, detach: bool, per_sample: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(last, shallow, rates) of the heads' per-sample losses [L, B], the last head's last.

    `rates` [L-1, B] is the derivative of Σ_l W_l·D_l by each D_l.
    """
    batch = losses.shape[1]
    last = losses[-1].mean()
    shallow = losses[:-1]
    if not len(shallow):
        return last, last.new_zeros(()), last.new_empty(0, batch)
    weights = loss_based_weights(shallow, adaptive=adaptive, detach=detach, per_sample=per_sample).contiguous()
    value = torch.dot(weights.view(-1), shallow.view(-1)).div_(batch)
    if not adaptive or detach:
        return last, value, weights
    # V = ΣD²/(ΣD + ε), so dV/dD_l = 2·W_l − V/(ΣD + ε); of batch means, where these give the weights.
    if per_sample:
        return last, value, 2 * weights - (weights * shallow).sum(dim=0) / (shallow.sum(dim=0) + EPSILON)
    return last, value, 2 * weights - value / (shallow.sum() / batch + EPSILON)


def gradients(
    unscaled: Sequence[Tensor],
    rates: Tensor,
    slope: float,
    upstream: Sequence[Tensor | None],
    heads: Sequence[Tensor],
    in_place: bool,
) -> Gradients:
    """Gradients of the heads from those of their per-sample losses, L times [B, ...] up to the factor `slope`.

    The scale is slope/B, times the upstream gradient of the head's output, times the rate of a shallow head's sample.
    """
    of_last, of_shallow = upstream
    shared = slope / len(heads[-1])
    scales: Gradients = [None] * len(heads)  # and so it stays for an output that is not used
    if of_last is not None:
        scales[-1] = of_last * shared
    if of_shallow is not None and len(heads) > 1:
        rows = rates * (of_shallow * shared)
        scales[:-1] = rows.view(*rows.shape, *[1] * (heads[-1].dim() - 1)).unbind(0)
    result = [None if scale is None else scaled(x, scale, in_place) for x, scale in zip(unscaled, scales, strict=True)]
    return [
        x if x is None or x.dtype == head.dtype else x.to(head.dtype) for x, head in zip(result, heads, strict=True)
    ]
