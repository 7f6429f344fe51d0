"""Which implementation computes a loss.

`auto` takes the first that can, by these rules: the reference where a gradient of the teacher is wanted, and inside
`torch.compile` on a CPU, whose compiler fuses it and not a registered operator; Triton on CUDA; the analytic form for
all else. KDBENCH_LOSS_BACKEND names one instead; where that cannot, an error says why. `inductor` is taken only by
name: it takes seconds to compile in each process.
"""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from kdbench.inputs.errors import UserError, unknown

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


def requested() -> str:
    """What KDBENCH_LOSS_BACKEND asks for, `auto` where it is not set; raises `UserError` for what there is not."""
    wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in ("auto", *BACKENDS):
        raise unknown(f"loss backend in {VARIABLE}", wanted, ("auto", *BACKENDS))
    return wanted


def choose(heads: Sequence[Tensor], constants: Sequence[Tensor], *, outside_triton: str | None = None) -> Backend:
    """The implementation for these inputs; `outside_triton` says why the operator's options are not Triton's, if so.

    `heads` are what gets gradients, `constants` the other floating inputs. Raises `UserError` where
    KDBENCH_LOSS_BACKEND is no known name or names an implementation that cannot compute this.
    """
    wanted = requested()
    gradient_of_teacher = torch.is_grad_enabled() and any(x.requires_grad for x in constants)
    analytic = "the teacher's side requires a gradient, which only the reference gives" if gradient_of_teacher else None
    if wanted == "auto":
        if analytic or (torch.compiler.is_compiling() and heads[0].device.type == "cpu"):
            return "reference"
        on_cuda = heads[0].is_cuda and not (outside_triton or _outside_triton(heads, constants))
        return "triton" if on_cuda else "analytic"
    if wanted == "reference":
        return "reference"
    if wanted == "analytic":
        return _unless(analytic, "analytic")
    if wanted == "inductor":
        nested = "this call is compiled already" if torch.compiler.is_compiling() else None
        return _unless(analytic or nested, "inductor")
    return _unless(analytic or outside_triton or _outside_triton(heads, constants), "triton")


def _unless(obstacle: str | None, backend: Backend) -> Backend:
    if obstacle:
        raise UserError(f"{VARIABLE}={backend} cannot compute this loss: {obstacle}; unset it or set it to auto.")
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
