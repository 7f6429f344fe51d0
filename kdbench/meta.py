"""Networks and modules made for their shapes alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class _Zeros(TorchFunctionMode):
    """Initialises with zeros, so that no random number is drawn."""

    #: Those of `torch.nn.init` end in an underscore, as all that works in place.
    FUNCTIONS = frozenset(
        [
            Tensor.normal_,
            Tensor.uniform_,
            *(value for name, value in vars(nn.init).items() if name[-1] == "_" != name[0]),
        ]
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self.FUNCTIONS:
            return func(*args, **kwargs)
        tensor: Tensor = args[0] if args else kwargs["tensor"]
        with torch.no_grad():
            return tensor.zero_()


@contextmanager
def without_data() -> Iterator[None]:
    """Inside the context, modules are made for their shapes alone: on the meta device, and without random numbers, for
    which PyTorch would import its compiler there.
    """
    with torch.device("meta"), _Zeros():
        yield


def pass_norms_by(model: nn.Module) -> None:
    """Let batch norms give what they get, for passes without data: on the meta device PyTorch takes them apart in
    Python, which takes most of the pass. Those that do something of their own beside stay.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward:
            vars(module)["forward"] = functools.partial(_passed_by, module)


def _passed_by(norm: _BatchNorm, x: Tensor) -> Tensor:
    norm._check_input_dim(x)  # type: ignore[no-untyped-call]
    if x.shape[1] != norm.num_features:
        raise ValueError(f"a batch norm of {norm.num_features} channels is given {x.shape[1]}")
    return x


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that draw random numbers."""

    def __init__(self, found: list[str]):
        super().__init__()  # type: ignore[no-untyped-call]
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self._found.append(str(func))
        return func(*args, **(kwargs or {}))


@contextmanager
def watching_draws() -> Iterator[list[str]]:
    """Gives a list, to which each operator inside the context that draws random numbers adds its name."""
    found: list[str] = []
    with _Draws(found):
        yield found
