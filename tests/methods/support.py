"""Methods on pairs of tiny networks with random float64 features, and how their terms and gradients are judged."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from kdbench.method import Batch, Method
from kdbench.model import Architecture, Outputs
from kdbench_methods.modules import Frozen
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
    batch: int = 6,
    epoch: int = 1,
    **params: object,
) -> tuple[Method, Outputs, Outputs, Batch]:
    """A method in float64 with what the harness would hand it for `batch` samples, all random."""
    built = build_method(method, *pair, seed=seed, **params)
    ours, theirs = (random_outputs(net, batch=batch, seed=seed + 100 * n) for n, net in enumerate(pair))
    return built, *declared(built, ours, theirs, random_batch(batch=batch, epoch=epoch, seed=seed))


def waves(*shape: int, phase: float) -> Tensor:
    """Numbers between -3 and 3 in float64 that anybody can make again, 3·sin(phase·(n + 1)) for n = 0, 1, …"""
    return (3 * torch.sin(phase * torch.arange(1, math.prod(shape) + 1, dtype=torch.float64))).reshape(shape)


def pinned(
    method: type[Method],
    pair: tuple[Architecture, Architecture] = PAIRS["deeper student"],
    *,
    epoch: int = 1,
    **params: object,
) -> tuple[Method, Outputs, Outputs, Batch]:
    """As `case`, with features and weights from `waves`: what the numbers of authors' own code are kept for."""
    built, student, teacher, batch = case(method, pair, epoch=epoch, **params)

    def filled(outputs: Outputs, phase: float) -> Outputs:
        return mapped(outputs, lambda x: waves(*x.shape, phase=phase).requires_grad_(x.requires_grad))

    frozen = [module.module for module in built.modules() if isinstance(module, Frozen)]
    with torch.no_grad():
        for module in (built, *frozen):
            for parameter in module.parameters():
                parameter.copy_(waves(*parameter.shape, phase=0.3) / 10)
        batch.labels.copy_(torch.arange(len(batch.labels)) * 3 % 5)
    return built, filled(student, 0.7), filled(teacher, 1.1), batch


def prints(method: Method, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, float]:
    """Σ weight × term, and of its gradient with respect to the student's features and the method's weights the length
    and the product with `waves`: what tells whether two implementations compute the same.
    """
    total = weighted_sum(method, method.terms(student, teacher, batch))
    gradients = torch.autograd.grad(total, [*leaves(student), *method.parameters()], allow_unused=True)
    flat = torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
    return {"total": total.item(), "length": flat.norm().item(), "product": (flat @ waves(len(flat), phase=0.9)).item()}


def replaced(outputs: Outputs, **values: Tensor | tuple[Tensor, ...]) -> Outputs:
    """The same outputs with some features exchanged."""
    kept = {feature: getattr(outputs, feature) for feature in outputs.features}
    return Outputs(outputs.owner, **(kept | values))


def mapped(outputs: Outputs, change: Callable[[Tensor], Tensor]) -> Outputs:
    """The same outputs with every tensor changed."""
    values = {name: getattr(outputs, name) for name in outputs.features}
    return Outputs(
        outputs.owner, **{n: tuple(map(change, v)) if isinstance(v, tuple) else change(v) for n, v in values.items()}
    )


def leaves(outputs: Outputs) -> list[Tensor]:
    """Every tensor of the outputs."""
    values = (getattr(outputs, name) for name in outputs.features)
    return [leaf for value in values for leaf in (value if isinstance(value, tuple) else (value,))]


def shallow_heads(method: Method, student: Outputs) -> list[Outputs]:
    """What the auxiliary classifiers of all shallow stages give, shallow to deep."""
    return [branch.outputs(stage) for branch, stage in zip(method.branches, student.stages, strict=False)]


def approx(expected: object) -> object:
    """`expected` up to float64 rounding."""
    return pytest.approx(expected, rel=1e-10, abs=1e-12)


def assert_terms(actual: dict[str, Tensor], **expected: float) -> None:
    """Terms equal the expected numbers, and there are no others."""
    assert {name: term.item() for name, term in actual.items()} == approx(expected)


def weighted_sum(method: Method, terms: dict[str, Tensor]) -> Tensor:
    """Σ weight × term."""
    weights = method.weights(method.params)
    return sum(weights[name] * term for name, term in terms.items())


def check_gradient(method: Method, student: Outputs, teacher: Outputs, batch: Batch, *features: str) -> None:
    """The gradient of Σ weight × term with respect to the student's `features` agrees with finite differences."""
    judged = student.only(features, student.owner)

    def loss(*inputs: Tensor) -> Tensor:
        rest = iter(inputs)
        moved = mapped(judged, lambda _: next(rest))
        values = {name: getattr(moved, name) for name in features}
        return weighted_sum(method, method.terms(replaced(student, **values), teacher, batch))

    assert torch.autograd.gradcheck(loss, tuple(leaves(judged)), fast_mode=True)
