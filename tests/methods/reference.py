"""The formulas of losses in plain Python, over samples, classes, channels and places one by one.

Tests compare the product's tensor code with these. Everything is in float64; tensors are only containers here.
"""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from kdbench.method import Batch, Method
from kdbench.model import Architecture, Outputs
from tests.support import STUDENT, TEACHER, build_method, declared, random_batch, random_outputs, tiny_architecture

#: As many stages as TEACHER and maps of the same sizes, but other widths.
SIBLING = tiny_architecture("tiny_sibling", (4, 5, 6), (1, 2, 2))
#: Two stages, whose maps have a quarter and a half of the size of TEACHER's.
COARSE = tiny_architecture("tiny_coarse", (4, 5), (4, 1))
PAIRS = {
    "deeper student": (STUDENT, TEACHER),
    "equal stages": (SIBLING, TEACHER),
    "same network": (TEACHER, TEACHER),
    "deeper teacher": (TEACHER, STUDENT),
    "coarse student": (COARSE, TEACHER),
}


def case(
    method: type[Method],
    pair: tuple[Architecture, Architecture] = PAIRS["deeper student"],
    *,
    seed: int = 0,
    **params: object,
) -> tuple[Method, Outputs, Outputs, Batch]:
    """A method in float64 with what the harness would hand it, all random."""
    built = build_method(method, *pair, seed=seed, **params)
    ours, theirs = random_outputs(pair[0], seed=seed), random_outputs(pair[1], seed=seed + 100)
    return built, *declared(built, ours, theirs, random_batch(seed=seed))


def assert_terms(actual: dict[str, Tensor], **expected: float) -> None:
    """Terms equal the expected numbers, and there are no others."""
    assert {name: term.item() for name, term in actual.items()} == approx(expected)


def approx(expected: object) -> object:
    """`expected` up to float64 rounding."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


def total(method: Method, terms: dict[str, Tensor]) -> Tensor:
    """Σ weight × term."""
    weights = method.weights(method.params)
    return sum(weights[name] * term for name, term in terms.items())


def check_gradient(method: Method, student: Outputs, teacher: Outputs, batch: Batch, *features: str) -> None:
    """The gradient of the total with respect to the student's `features` agrees with finite differences."""
    values = {name: getattr(student, name) for name in student.features}
    stages = values.get("stages", ())
    leaves = tuple(leaf for name in features for leaf in (stages if name == "stages" else (values[name],)))

    def loss(*inputs: Tensor) -> Tensor:
        rest = iter(inputs)
        moved = {name: tuple(next(rest) for _ in stages) if name == "stages" else next(rest) for name in features}
        return total(method, method.terms(Outputs("student", **(values | moved)), teacher, batch))

    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True)


def softmax(z: Sequence[float], tau: float = 1.0) -> list[float]:
    """exp(z_k/τ) / Σ exp(z_j/τ)."""
    top = max(z)
    scores = [math.exp((value - top) / tau) for value in z]
    return [score / sum(scores) for score in scores]


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Σ_k p_k·(ln p_k - ln q_k)."""
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True) if a > 0)


def kl(target: Tensor, prediction: Tensor, tau: float) -> float:
    """Divergence of one sample's logits [K] at temperature τ, without τ²."""
    return divergence(softmax(target.tolist(), tau), softmax(prediction.tolist(), tau))


def kd(prediction: Tensor, target: Tensor, tau: float) -> float:
    """mean_i τ²·kl_i of logits [B, K]."""
    return sum(tau**2 * kl(t, p, tau) for t, p in zip(target, prediction, strict=True)) / len(target)


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """mean_i -ln p_i,y of logits [B, K]."""
    losses = [-math.log(softmax(row)[y]) for row, y in zip(logits.tolist(), labels.tolist(), strict=True)]
    return sum(losses) / len(losses)


def square_error(a: Tensor, b: Tensor) -> float:
    """Mean squared difference over all elements of two tensors of one shape."""
    assert a.shape == b.shape
    differences = [(x - y) ** 2 for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)]
    return sum(differences) / len(differences)


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
    """Square maps, the larger pooled to the smaller."""
    size = min(a.shape[2], b.shape[2])
    return pool(a, size, size), pool(b, size, size)


def pointwise(convolution: nn.Conv2d, maps: Tensor) -> Tensor:
    """A 1×1 convolution as a sum over channels at each place."""
    out = maps.new_zeros(maps.shape[0], convolution.out_channels, *maps.shape[2:])
    for c in range(convolution.out_channels):
        for k in range(convolution.in_channels):
            out[:, c] += convolution.weight[c, k, 0, 0] * maps[:, k]
        if convolution.bias is not None:
            out[:, c] += convolution.bias[c]
    return out


def heads(method: Method, student: Outputs) -> list[Outputs]:
    """What the auxiliary classifiers of all shallow stages give, shallow to deep."""
    return [branch.outputs(stage) for branch, stage in zip(method.branches, student.stages, strict=False)]
