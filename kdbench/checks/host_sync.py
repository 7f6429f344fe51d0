"""Catching what makes the device wait for the host, or the host for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

#: Python calls that read a tensor's values. On a CPU they reach no operator (`tolist`, `numpy`) or look like any other
#: reader there (`__bool__`), so they are caught by name.
READERS: dict[Any, str] = {
    Tensor.item: "reads a value on the host",
    Tensor.tolist: "reads values on the host",
    Tensor.numpy: "reads values on the host",
    Tensor.__array__: "reads values on the host",
    Tensor.__repr__: "reads values on the host",
    Tensor.__format__: "reads values on the host",
    Tensor.__float__: "reads a value on the host",
    Tensor.__int__: "reads a value on the host",
    Tensor.__index__: "reads a value on the host",
    Tensor.__bool__: "branches on a value",
    torch.is_nonzero: "branches on a value",
    Tensor.cpu: "copies to the host",
}
#: Calls that copy numbers from the host to a device they are told.
COPIES: set[Callable[..., Any]] = {torch.tensor, torch.as_tensor}
#: Tags of operators whose result or its shape is known only once their input's values are.
WAITING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
ITEM = torch.ops.aten._local_scalar_dense.default
ERROR_CHECK = torch.ops.aten._linalg_check_errors.default

Report = Callable[[str], None]


@contextmanager
def watching_host_syncs(report: Report) -> Iterator[None]:
    """Inside the context, `report` is told of every host synchronisation, in words, where it happens."""
    calls = _Calls(report)
    with _Operators(report, calls), calls:
        yield


class _Calls(TorchFunctionMode):
    """Python calls. `inside` is true during one that has been reported, so that its operators are not reported too."""

    def __init__(self, report: Report):
        super().__init__()
        self._report = report
        self.inside = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        why = _why_call(func, args, kwargs)
        if why is None or self.inside:
            return func(*args, **kwargs)
        self._report(f"`{_name(func)}` {why}")
        self.inside = True
        try:
            return func(*args, **kwargs)
        finally:
            self.inside = False


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Operators below Python, whoever called them; in a backward pass written in Python these are all that is seen."""

    def __init__(self, report: Report, calls: _Calls):
        super().__init__()  # type: ignore[no-untyped-call]
        self._report = report
        self._calls = calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        if not self._calls.inside and (why := _why_operator(func, args)):
            name = "item" if func is ITEM else func.overloadpacket.__name__
            self._report(f"`{name}` {why}")
        return func(*args, **(kwargs or {}))


def _why_call(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> str | None:
    if why := READERS.get(func):
        return why
    if func in COPIES and kwargs.get("device") is not None:
        return "copies numbers from the host to the device"
    # A device given as an object may be the batch's own; this text is always the host.
    if func is Tensor.to and "cpu" in (*args[1:2], kwargs.get("device")):
        return "copies to the host"
    return None


def _why_operator(func: Any, args: Any) -> str | None:
    if func is ITEM:
        return "reads a value on the host"
    if func is ERROR_CHECK:
        return "reads on the host whether the decomposition worked"
    if func is torch.ops.aten.index.Tensor:
        return MASK if _has_mask(args[1]) else None
    if func in (torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default):
        return MASK if _has_mask(args[1]) else None
    return "gives a result that depends on values" if WAITING.intersection(func.tags) else None


MASK = "picks by a boolean mask, so its shape depends on values"


def _has_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _name(func: Callable[..., Any]) -> str:
    name: str = resolve_name(func) or func.__name__
    return name.removeprefix("torch.")
