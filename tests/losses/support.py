"""Calls of every operator, and what their losses and gradients are compared with."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from kdbench import losses
from kdbench.bench.memory import peak_bytes

OPERATORS = ("kd", "ce_kd", "deep_kd", "deep_mse")
DEVICES = {"reference": "cpu", "analytic": "cpu", "triton": "cuda" if torch.cuda.is_available() else "cpu"}
#: `inductor`, the analytic form compiled, has tests of its own: each of its cases takes seconds to compile.
FUSED = ("analytic", "triton")
#: ‖gradient − gradient in float64‖ / ‖gradient in float64‖. Accumulation is in float32 for all of them.
GRADIENT_TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
#: Weights of the outputs in the sum that is differentiated: upstream gradients other than 1 and than each other.
UPSTREAM = (2.0, 3.0)


def implementation(backend: str, operator: str) -> Callable[..., Any]:
    return partial(getattr(losses, operator), backend=backend)


def loss_of(backend: str, operator: str) -> Any:
    """The `FusedLoss` behind an implementation."""
    return getattr(import_module(f"kdbench.losses.{backend}"), operator)


def call(operator: str, *size: int, **making: Any) -> tuple[Sequence[Tensor], Sequence[Tensor], tuple[Any, ...]]:
    """(heads, constants, options) of a call, which is what a `FusedLoss` takes."""
    args, weighting = arguments(operator, *size, **making), (True, False, True)
    if operator == "deep_mse":
        return [*args[1], args[2]], [args[0]], weighting
    if operator == "deep_kd":
        return [*args[1], args[2]], [args[0]], (4.0, True, *weighting)
    return [args[0]], args[1:], (4.0, True, *([True] if operator == "kd" else []))


def logits(
    batch: int, classes: int, *, grad: bool = True, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Any:
    return (3 * torch.randn(batch, classes)).to(device, dtype).requires_grad_(grad)


def arguments(
    operator: str, batch: int, classes: int, *, dtype: torch.dtype = torch.float32, device: str = "cpu", heads: int = 3
) -> list[Any]:
    """Random arguments of `operator`: leaves for the heads; maps have `classes` channels of 2 × 3."""
    torch.manual_seed(batch * 100_003 + classes)

    def make(grad: bool = True) -> Tensor:
        if operator != "deep_mse":
            return logits(batch, classes, grad=grad, dtype=dtype, device=device)
        return torch.randn(batch, classes, 2, 3).to(device, dtype).requires_grad_(grad)

    if operator.startswith("deep"):
        return [make(False), [make() for _ in range(heads - 1)], make()]
    if operator == "kd":
        return [make(), make(False)]
    return [make(), make(False), torch.randint(classes, (batch,), device=device)]


def mapped(args: Sequence[Any], change: Callable[[Tensor], Tensor]) -> list[Any]:
    """`args` with every floating tensor changed, leaf and requires_grad as before."""

    def one(x: Any) -> Any:
        if isinstance(x, list):
            return [one(y) for y in x]
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x.cpu() if isinstance(x, Tensor) else x
        return change(x.detach()).requires_grad_(x.requires_grad)

    return [one(x) for x in args]


def leaves(args: Sequence[Any]) -> list[Tensor]:
    flat = [y for x in args for y in (x if isinstance(x, list) else [x])]
    return [x for x in flat if isinstance(x, Tensor) and x.requires_grad]


def outputs(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def weighted(result: Any) -> Tensor:
    """The sum of all outputs under `UPSTREAM`; per-sample outputs with weights of their own."""
    parts = []
    for weight, x in zip(UPSTREAM, outputs(result), strict=False):
        rows = torch.arange(1, x.numel() + 1, device=x.device).view_as(x) if x.dim() else 1
        parts.append(weight * (x * rows).sum())
    return torch.stack(parts).sum()


def run(function: Callable[..., Any], args: Sequence[Any], **options: Any) -> tuple[list[Tensor], list[Tensor]]:
    """(losses, gradients of the leaves under `UPSTREAM`)."""
    result = function(*args, **options)
    gradients = torch.autograd.grad(weighted(result), leaves(args), allow_unused=True)
    filled = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves(args), gradients, strict=True)]
    return [x.detach() for x in outputs(result)], filled


def assert_agrees(backend: str, operator: str, args: Sequence[Any], **options: Any) -> None:
    """Losses and gradients of `backend` are those of the reference in float64, each gradient in its input's type."""
    losses, gradients = run(implementation(backend, operator), args, **options)
    exact = mapped(args, lambda x: x.double().cpu())
    options = {k: v.double() if isinstance(v, Tensor) else v for k, v in options.items()}
    expected, exact_gradients = run(implementation("reference", operator), exact, **options)
    for loss, other in zip(losses, expected, strict=True):
        tolerance = 1e-11 if loss.dtype == torch.float64 else 1e-4
        torch.testing.assert_close(loss.double().cpu(), other, rtol=tolerance, atol=tolerance)
    for leaf, gradient, other in zip(leaves(args), gradients, exact_gradients, strict=True):
        assert gradient.dtype == leaf.dtype and gradient.shape == leaf.shape
        error = (gradient.double().cpu() - other).norm() / other.norm().clamp_min(1e-30)
        assert error <= GRADIENT_TOLERANCE[leaf.dtype], f"{operator} {backend}: relative error {error:.2e}"


def scratch(backend: str, args: Sequence[Any], operator: str, **options: Any) -> int:
    """Most bytes that both passes hold at one time beyond the gradients."""
    device = args[0].device
    run(implementation(backend, operator), args, **options)  # what only a first call makes is not counted
    peak = peak_bytes(lambda: run(implementation(backend, operator), args, **options), device)
    return peak - sum(x.nbytes for x in leaves(args))
