"""Formulas spelled out over Python numbers, for references that share nothing with the code under test."""

import math
from collections.abc import Callable
from itertools import chain

from torch import Tensor

from kdbench.method import Batch, Method
from kdbench.model import Outputs
from tests.support import STUDENT, TEACHER, build_method, declared, random_batch, random_outputs

Vector = list[float]
Matrix = list[Vector]


def case(method: type[Method], *, seed: int = 0, batch: int = 6, epoch: int = 1, **params: object):
    """A method on the tiny networks and its (student, teacher, batch), reduced to what it declares."""
    built = build_method(method, **params)
    outputs = random_outputs(STUDENT, batch=batch, seed=seed + 1), random_outputs(TEACHER, batch=batch, seed=seed + 2)
    return built, *declared(built, *outputs, random_batch(batch=batch, seed=seed, epoch=epoch))


def replaced(outputs: Outputs, **values: Tensor | tuple[Tensor, ...]) -> Outputs:
    """The same outputs with some features exchanged."""
    kept = {feature: getattr(outputs, feature) for feature in outputs.features}
    return Outputs(outputs.owner, **(kept | values))


def flat(features: Tensor) -> Matrix:
    """One row of numbers per sample."""
    return features.detach().flatten(1).tolist()


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def norm(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def unit(a: Vector) -> Vector:
    return [x / norm(a) for x in a]


def mean(values: Vector) -> float:
    return sum(values) / len(values)


def softmax(logits: Vector, tau: float = 1.0) -> Vector:
    top = max(logits)
    powers = [math.exp((z - top) / tau) for z in logits]
    return [power / sum(powers) for power in powers]


def kl(p: Vector, q: Vector) -> float:
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))


def cross_entropy(student: Outputs, batch: Batch) -> float:
    logits, labels = flat(student.logits), batch.labels.tolist()
    return mean([-math.log(softmax(z)[y]) for z, y in zip(logits, labels, strict=True)])


def kd(student: Outputs, teacher: Outputs, tau: float = 4.0) -> float:
    pairs = zip(flat(student.logits), flat(teacher.logits), strict=True)
    return mean([tau**2 * kl(softmax(z_t, tau), softmax(z_s, tau)) for z_s, z_t in pairs])


def linear(x: Vector, layer: Callable[..., Tensor]) -> Vector:
    """W·x + b."""
    weight, bias = layer.weight.tolist(), layer.bias.tolist()
    return [dot(row, x) + b for row, b in zip(weight, bias, strict=True)]


def pool(channel: Matrix, height: int, width: int) -> Matrix:
    """A map H × W averaged over height × width windows, which overlap where the size does not divide."""
    rows, columns = len(channel), len(channel[0])

    def window(i: int, parts: int, length: int) -> range:
        return range(i * length // parts, -(-(i + 1) * length // parts))

    return [
        [
            mean([channel[a][b] for a in window(i, height, rows) for b in window(j, width, columns)])
            for j in range(width)
        ]
        for i in range(height)
    ]


def smaller(ours: Tensor, theirs: Tensor) -> tuple[list[list[Vector]], list[list[Vector]]]:
    """Both maps at the smaller size, as [sample][channel][place]."""
    size = [min(a, b) for a, b in zip(ours.shape[2:], theirs.shape[2:], strict=True)]

    def places(maps: Tensor) -> list[list[Vector]]:
        return [[list(chain(*pool(channel, *size))) for channel in sample] for sample in maps.tolist()]

    return places(ours), places(theirs)
