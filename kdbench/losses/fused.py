"""A loss whose forward pass also makes its gradient, in eager mode and as an operator that `torch.compile` knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from kdbench.inputs.errors import UserError

Gradients = list[Tensor | None]
#: What Inductor would otherwise keep in a tensor of the logits' size, for its many uses, it computes where it is used.
_OPTIONS: dict[str, Any] = {"realize_reads_threshold": 1000, "realize_opcount_threshold": 1000}
#: Bits of a CPU's vectors by what PyTorch computes with. Inductor would find them itself, but its cache on disk, which
#: machines may share, does not tell by them: code made for wider ones then leaves numbers out.
_VECTORS = {"AVX512": 512, "AVX2": 256, "DEFAULT": 0}
T = TypeVar("T")


class Inputs(NamedTuple):
    """Tensors of a call: `heads` receive gradients, `constants` (teacher, labels, a tensor τ) do not."""

    heads: Sequence[Tensor]
    constants: Sequence[Tensor]


class Saved(NamedTuple):
    """What a backward pass has: what the forward pass `kept`, one upstream gradient a loss (None: unused), the call."""

    kept: Sequence[Any]
    upstream: Sequence[Tensor | None]
    inputs: Inputs
    options: tuple[Any, ...]


class Backward(Protocol):
    """Gradients of the heads.

    `in_place` has it turn `kept` into the result; otherwise it leaves them alone, as a registered operator's must.
    """

    def __call__(self, saved: Saved, *, in_place: bool) -> Gradients: ...


class Passes(NamedTuple):
    """Both passes of a loss, as eager mode calls them."""

    forward: Callable[..., tuple[Any, ...]]
    backward: Backward


@dataclass(frozen=True)
class FusedLoss:
    """One loss in one closed-form implementation; calling it gives its losses, `compiled` through `torch.compile`.

    `forward(heads, constants, *options)` gives `losses` losses and then what `backward` is made from, as the schema
    `kept` says; no two of these tensors may share memory. `fake` gives the same with shapes alone. `options` is the
    schema of the options.
    """

    name: str
    options: str
    losses: int
    kept: str
    forward: Callable[..., tuple[Any, ...]]
    fake: Callable[..., tuple[Any, ...]]
    backward: Backward
    operator: Callable[..., tuple[Any, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", _register(self))

    def __call__(
        self, heads: Sequence[Tensor], constants: Sequence[Tensor], *options: Any, compiled: bool = False
    ) -> tuple[Tensor, ...]:
        if torch.compiler.is_compiling() or isinstance(heads[0], FakeTensor):
            return self.operator(list(heads), list(constants), *options)[: self.losses]
        passes = self._compiled if compiled else Passes(self.forward, self.backward)
        outputs: tuple[Tensor, ...] = _Eager.apply(self, passes, constants, options, *heads)
        return outputs

    @cached_property
    def _compiled(self) -> Passes:
        # What is compiled is each loss's own function: Dynamo counts its versions by the code that it is given.
        return Passes(_compile(self.name, self.forward), _compile(self.name, self.backward))


class _Eager(torch.autograd.Function):
    """The eager form: a registered operator's own autograd costs more than these losses do at the paper's size."""

    @staticmethod
    def forward(
        ctx: Any, loss: FusedLoss, passes: Passes, constants: Sequence[Tensor], options: Any, *heads: Tensor
    ) -> Any:
        outputs = passes.forward(heads, constants, *options)
        ctx.loss, ctx.passes, ctx.options = loss, passes, options
        ctx.kept, ctx.count = outputs[loss.losses :], len(heads)
        ctx.save_for_backward(*heads, *constants)
        ctx.set_materialize_grads(False)
        return outputs[: loss.losses]

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            # PyTorch would take the gradient for a constant, and a penalty on it would silently do nothing.
            raise UserError(
                f"{ctx.loss.name} has no second derivative (create_graph=True); KDBENCH_LOSS_BACKEND=reference has."
            )
        passes, kept, saved = ctx.passes, ctx.kept, ctx.saved_tensors
        inputs = Inputs(saved[: ctx.count], saved[ctx.count :])
        if kept is None:
            # The first backward pass handed its buffers over as gradients; with retain_graph they are made again.
            kept = passes.forward(inputs.heads, inputs.constants, *ctx.options)[ctx.loss.losses :]
        ctx.kept = None
        return None, None, None, None, *passes.backward(Saved(kept, upstream, inputs, ctx.options), in_place=True)


def _compile(name: str, function: Callable[..., T]) -> Callable[..., T]:
    """`function` through `torch.compile`, without its silent returns to eager mode."""
    from torch._dynamo.exc import TorchDynamoException  # takes seconds to import, which only this way should pay

    vectors = _VECTORS.get(torch.backends.cpu.get_cpu_capability())
    compiled = torch.compile(function, fullgraph=True, options=_OPTIONS | {"cpp.simdlen": vectors})

    def call(*arguments: Any, **switches: bool) -> T:
        try:
            return compiled(*arguments, **switches)
        except TorchDynamoException as error:
            reason = str(getattr(error, "inner_exception", error)).strip().partition("\n")[0]
            raise UserError(f"torch.compile cannot make {name}: {reason}; unset KDBENCH_LOSS_BACKEND.") from error

    return call


def _register(loss: FusedLoss) -> Callable[..., tuple[Any, ...]]:
    """Registers `kdbench::{name}` with its fake kernel and its gradient."""
    returns = ", ".join(["Tensor"] * loss.losses + [loss.kept])
    operator = torch.library.custom_op(
        f"kdbench::{loss.name}",
        loss.forward,
        mutates_args=(),
        schema=f"(Tensor[] heads, Tensor[] constants, {loss.options}) -> ({returns})",
    )
    operator.register_fake(loss.fake)

    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        heads, constants, *options = inputs
        ctx.counts, ctx.options = (len(heads), len(constants)), tuple(options)
        kept, ctx.structure = tree_flatten(output[loss.losses :])
        ctx.save_for_backward(*heads, *constants, *kept)
        ctx.set_materialize_grads(False)

    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        heads, constants = ctx.counts
        saved = ctx.saved_tensors
        inputs = Inputs(saved[:heads], saved[heads : heads + constants])
        kept = tree_unflatten(saved[heads + constants :], ctx.structure)
        gradients = loss.backward(Saved(kept, upstream[: loss.losses], inputs, ctx.options), in_place=False)
        return gradients, [None] * constants, *([None] * len(ctx.options))

    operator.register_autograd(backward, setup_context=setup_context)
    return operator
