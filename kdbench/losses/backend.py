"""Which implementation computes a loss, and its call.

An operator is called in one form whatever computes it: by its heads, which get gradients, its constants, and its
options in the order of its file's `compute`.

`auto` takes the first that can, by these rules: the reference where a gradient of the teacher is wanted, and inside
`torch.compile` on a CPU, whose compiler fuses it and not a registered operator; Triton on CUDA; the analytic form for
all else. A call's `backend` or KDBENCH_LOSS_BACKEND names one instead; where that cannot, an error says why. `inductor`
is taken only by name: it takes seconds to compile in each process.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from kdbench.inputs.errors import UserError, unknown
from kdbench.losses import analytic, reference

Backend = Literal["reference", "analytic", "inductor", "triton"]
BACKENDS: tuple[Backend, ...] = ("reference", "analytic", "inductor", "triton")
VARIABLE = "KDBENCH_LOSS_BACKEND"
#: Options that Triton's kernels leave to others, in the words of the error.
TENSOR_TAU = "Triton's kernel takes one temperature for all samples"
BATCH_WEIGHTS = "Triton's kernels weight each sample by itself, not the batch as one (per_sample=False)"
#: Triton's kernels are unrolled over the heads, whose tiles wait in registers.
MOST_HEADS = 8

_TRITON_INSTALLED = find_spec("triton") is not None
_HALF_OR_SINGLE = (torch.float32, torch.float16, torch.bfloat16)


def requested(named: str | None = None) -> str:
    """What a call names, or else what KDBENCH_LOSS_BACKEND asks for, `auto` where neither does.

    Raises `UserError` for what there is not.
    """
    wanted = named or os.environ.get(VARIABLE, "auto")
    if wanted not in ("auto", *BACKENDS):
        raise unknown("loss backend" if named else f"loss backend in {VARIABLE}", wanted, ("auto", *BACKENDS))
    return wanted


def compute(
    operator: str,
    heads: Sequence[Tensor],
    constants: Sequence[Tensor],
    *options: Any,
    backend: Backend | None = None,
    outside_triton: str | None = None,
) -> tuple[Tensor, ...]:
    """The operator's losses, by the implementation that `choose` gives."""
    chosen = choose(heads, constants, named=backend, outside_triton=outside_triton)
    return implementation(chosen, operator)(heads, constants, *options)


def implementation(backend: Backend, operator: str) -> Callable[..., tuple[Tensor, ...]]:
    """An operator as one implementation computes it, a function of heads, constants and options."""
    package: Any = reference if backend == "reference" else analytic
    if backend == "triton":
        from kdbench.losses import triton as package
    function: Callable[..., tuple[Tensor, ...]] = getattr(package, operator)
    return partial(function, compiled=True) if backend == "inductor" else function


def choose(
    heads: Sequence[Tensor],
    constants: Sequence[Tensor],
    *,
    named: Backend | None = None,
    outside_triton: str | None = None,
) -> Backend:
    """The implementation for these inputs; `outside_triton` says why the operator's options are not Triton's, if so.

    `heads` are what gets gradients, `constants` the other inputs. Raises `UserError` where `named`, or else
    KDBENCH_LOSS_BACKEND, is no known name or names an implementation that cannot compute this.
    """
    wanted = requested(named)
    constants = [x for x in constants if x.is_floating_point()]
    taught = torch.is_grad_enabled() and any(x.requires_grad for x in constants)
    not_fused = "the teacher's side requires a gradient, which only the reference gives" if taught else None
    if wanted == "auto":
        if not_fused or (torch.compiler.is_compiling() and heads[0].device.type == "cpu"):
            return "reference"
        on_cuda = heads[0].is_cuda and not (outside_triton or _outside_triton(heads, constants))
        return "triton" if on_cuda else "analytic"
    if wanted == "reference":
        return "reference"
    if wanted == "analytic":
        return _unless(not_fused, "analytic")
    if wanted == "inductor":
        nested = "this call is compiled already" if torch.compiler.is_compiling() else None
        return _unless(not_fused or nested, "inductor")
    return _unless(not_fused or outside_triton or _outside_triton(heads, constants), "triton")


def _unless(obstacle: str | None, backend: Backend) -> Backend:
    if obstacle:
        raise UserError(f"backend {backend} cannot compute this loss: {obstacle}; unset {VARIABLE}, or name none.")
    return backend


def _outside_triton(heads: Sequence[Tensor], constants: Sequence[Tensor]) -> str | None:
    """Why these tensors are not for Triton, or None."""
    tensors = (*heads, *constants)
    if not _TRITON_INSTALLED:
        return "Triton is not installed"
    if not all(x.is_cuda for x in tensors) and os.environ.get("TRITON_INTERPRET") != "1":
        return f"Triton needs CUDA tensors, not {heads[0].device.type} (TRITON_INTERPRET=1 runs its interpreter)"
    if any(x.dtype not in _HALF_OR_SINGLE for x in tensors):
        return "Triton's kernels take float32, float16 and bfloat16 only"
    if any(x.dtype != heads[0].dtype for x in heads):
        return "Triton's kernels take heads of one type"
    if len(heads) > MOST_HEADS:
        return f"Triton's kernels take at most {MOST_HEADS} heads, not {len(heads)}"
    return None
