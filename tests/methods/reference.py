"""The formulas of losses in loops over samples, classes, channels and places one by one, in float64.

Tests compare the product's tensor code with these, which share nothing with it.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

Vector = Sequence[float]


def flat(features: Tensor) -> list[list[float]]:
    """One row of numbers per sample."""
    return features.detach().flatten(1).tolist()


def dot(a: Vector, b: Vector) -> float:
    """Σ_k a_k·b_k."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def norm(a: Vector) -> float:
    """√(Σ_k a_k²)."""
    return math.sqrt(dot(a, a))


def unit(a: Vector) -> list[float]:
    """a / ‖a‖."""
    length = norm(a)
    return [x / length for x in a]


def mean(values: Vector) -> float:
    """Σ_k a_k / K."""
    return sum(values) / len(values)


def softmax(z: Vector, tau: float = 1.0) -> list[float]:
    """exp(z_k/τ) / Σ exp(z_j/τ)."""
    top = max(z)
    scores = [math.exp((value - top) / tau) for value in z]
    return [score / sum(scores) for score in scores]


def kl(p: Vector, q: Vector) -> float:
    """Σ_k p_k·(ln p_k - ln q_k)."""
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a > 0)


def kl_of_logits(target: Tensor, prediction: Tensor, tau: float) -> float:
    """Divergence of one sample's logits [K] at temperature τ, without τ²."""
    return kl(softmax(target.tolist(), tau), softmax(prediction.tolist(), tau))


def kd(prediction: Tensor, target: Tensor, tau: float) -> float:
    """mean_i τ²·kl_i of logits [B, K]."""
    return mean([tau**2 * kl_of_logits(t, p, tau) for t, p in zip(target, prediction, strict=True)])


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """mean_i -ln p_i,y of logits [B, K]."""
    return mean([-math.log(softmax(row)[y]) for row, y in zip(logits.tolist(), labels.tolist(), strict=True)])


def square_error(a: Tensor, b: Tensor) -> float:
    """Mean squared difference over all elements of two tensors of one shape."""
    assert a.shape == b.shape
    return mean([(x - y) ** 2 for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)])


def linear(x: Vector, layer: nn.Linear) -> list[float]:
    """W·x + b."""
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    return [dot(row, x) + b for row, b in zip(weight, bias, strict=True)]


def pointwise(convolution: nn.Conv2d, maps: Tensor) -> Tensor:
    """A 1×1 convolution as a sum over channels at each place."""
    out = maps.new_zeros(maps.shape[0], convolution.out_channels, *maps.shape[2:])
    for c in range(convolution.out_channels):
        for k in range(convolution.in_channels):
            out[:, c] += convolution.weight[c, k, 0, 0] * maps[:, k]
        if convolution.bias is not None:
            out[:, c] += convolution.bias[c]
    return out


def pool(maps: Tensor, height: int, width: int) -> Tensor:
    """Adaptive average pooling: bin i of n over a length of s covers floor(i·s/n) to ceil((i+1)·s/n)."""
    out = maps.new_zeros(*maps.shape[:2], height, width)
    for i in range(height):
        top, bottom = i * maps.shape[2] // height, -((-(i + 1) * maps.shape[2]) // height)
        for j in range(width):
            left, right = j * maps.shape[3] // width, -((-(j + 1) * maps.shape[3]) // width)
            cells = [maps[:, :, y, x] for y in range(top, bottom) for x in range(left, right)]
            out[:, :, i, j] = sum(cells) / len(cells)
    return out


def pool_larger(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps, the larger pooled to the smaller, in height and in width."""
    height, width = (min(sizes) for sizes in zip(a.shape[2:], b.shape[2:], strict=True))
    return pool(a, height, width), pool(b, height, width)
