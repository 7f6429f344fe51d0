"""Weights of other programs' checkpoints under our parameter names, found by what fits the network."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import few
from kdbench.meta import without_data
from kdbench.model import Architecture
from kdbench.store.foreign import read_foreign
from kdbench.store.weights import check_fit, class_count, misfit

#: Tensors of a file: networks of this field have hundreds, and an optimizer keeps two for each.
MAX_TENSORS = 20_000
#: Dots in a tensor's name behind which the network's own name may start.
MAX_DEPTH = 12
#: A batch norm's count of batches, which older files have not; PyTorch then begins at 0.
COUNT = "num_batches_tracked"


@dataclass(frozen=True)
class ZooWeights:
    """A network's tensors under our names, and what the file has before each of its own."""

    tensors: dict[str, Tensor]
    prefix: str


def read_zoo_checkpoint(
    path: Path, architecture: Architecture, num_classes: int, prefix: str | None = None
) -> ZooWeights:
    """The weights of a network in a checkpoint, wherever in it they stand (`from_zoo`).

    A tensor's name is the way to it through the file's mappings and lists, joined by dots. Raises `UserError` if the
    file cannot be read, holds no tensors, or does not fit.
    """
    checkpoint = read_foreign(path)
    named: dict[str, Tensor] = {}
    for name, tensor in _named(checkpoint, "", set()):
        if name in named:
            raise UserError(f"{path} holds {name} twice; give the file of one network")
        named[name] = tensor
    if not named:
        raise UserError(f"{path} holds no state dict, but {_described(checkpoint)}; give a checkpoint of a network")
    if len(named) > MAX_TENSORS:
        raise UserError(f"{path} holds more than {MAX_TENSORS:,} tensors, which are not read; give one network's")
    return from_zoo(named, architecture, num_classes, f"{path}{_said_architecture(checkpoint)}", prefix)


def from_zoo(
    named: Mapping[str, Tensor], architecture: Architecture, num_classes: int, origin: str, prefix: str | None = None
) -> ZooWeights:
    """The network among tensors that have a zoo's names, all behind one prefix: none, `module.`, `state_dict.model.`, …

    Raises `UserError`, which names their `origin`, unless one fits exactly, and if unlike ones fit behind several
    prefixes, of which `prefix` chooses one.
    """
    expected = _expected(architecture, num_classes)
    prefixes = _prefixes(named, expected, architecture.zoo_keys)
    if not prefixes:
        raise UserError(
            f"{origin} holds nothing of {architecture.name}: its tensors are {few(_told(named))}, and "
            f"{architecture.name} would want {few(_told(expected))}; name the file's own network with --arch"
        )
    looked_at = prefixes if prefix is None else [_chosen(prefix, prefixes, origin)]
    counts = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith(COUNT)}
    candidates = [
        ZooWeights(counts | _behind(start, prefixes, named, architecture, origin), start) for start in looked_at
    ]
    fitting = [candidate for candidate in candidates if _fits(candidate.tensors, expected)]
    if any(_differ(fitting[0].tensors, other.tensors) for other in fitting[1:]):
        places = few([f"'{candidate.prefix}'" for candidate in fitting])
        raise UserError(f"{origin} holds several {architecture.name}, behind {places}; choose one with --prefix")
    chosen = (fitting or candidates)[0]
    where = f"{origin}, behind '{chosen.prefix}'," if chosen.prefix else origin
    _check(chosen.tensors, architecture, num_classes, where)
    return chosen


def _chosen(prefix: str, prefixes: list[str], origin: str) -> str:
    for known in prefixes:
        if known.removesuffix(".") == prefix.removesuffix("."):
            return known
    places = few([f"'{known}'" for known in prefixes])
    raise UserError(f"{origin} does not hold the network behind '{prefix}', but behind {places}; give that to --prefix")


def _check(tensors: dict[str, Tensor], architecture: Architecture, num_classes: int, origin: str) -> None:
    """Raise `UserError` unless these are the network's; that it is another one is told before the number of classes."""
    if odd := [name for name, tensor in tensors.items() if not _is_plain(tensor)]:
        raise UserError(f"{origin} holds tensors without their numbers ({few(odd)}); save them dense, on the CPU")
    classes = class_count(tensors)
    if classes and classes != num_classes and not misfit(tensors, _expected(architecture, classes)):
        raise UserError(
            f"{origin} holds weights for {classes} classes, not {num_classes}; say --num-classes {classes}, or give a "
            f"file for {num_classes} classes"
        )
    check_fit(tensors, _expected(architecture, num_classes), origin, architecture.name)


def _expected(architecture: Architecture, num_classes: int) -> dict[str, Tensor]:
    with without_data():
        return architecture.build(num_classes).state_dict()


def _named(value: Any, place: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in mappings and lists, with the way to it; the recursion ends as deep as names are looked at."""
    if isinstance(value, Tensor):
        yield place.removesuffix("."), value
    elif isinstance(value, Mapping | list | tuple) and id(value) not in seen and place.count(".") <= MAX_DEPTH:
        seen.add(id(value))
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _named(inner, f"{place}{key}.", seen)


def _prefixes(
    named: Mapping[str, Tensor], expected: Mapping[str, Tensor], keys: tuple[tuple[str, str], ...]
) -> list[str]:
    """Behind which prefixes all the network's names stand; else the one behind which most do, if any does."""
    names, shapes = Counter[str](), Counter[str]()
    for name, tensor in named.items():
        for prefix in _starts(name):
            wanted = expected.get(_our_name(name.removeprefix(prefix), keys))
            if wanted is not None and not name.endswith(COUNT):
                names[prefix] += 1
                shapes[prefix] += _is_plain(tensor) and tensor.shape == wanted.shape
    whole = sum(not name.endswith(COUNT) for name in expected)
    complete = [prefix for prefix, count in names.items() if count >= whole]
    return complete or sorted(names, key=lambda prefix: (names[prefix], shapes[prefix]))[-1:]


def _starts(name: str) -> list[str]:
    """The prefixes that a dotted name may have before the network's own."""
    parts = name.split(".", MAX_DEPTH)
    return ["".join(f"{part}." for part in parts[:length]) for length in range(len(parts))]


def _behind(
    prefix: str, prefixes: list[str], named: Mapping[str, Tensor], architecture: Architecture, origin: str
) -> dict[str, Tensor]:
    """The tensors behind a prefix under our names, without those of a network behind a longer one."""
    others = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
    tensors: dict[str, Tensor] = {}
    for zoo_name, tensor in named.items():
        if zoo_name.startswith(prefix) and not zoo_name.startswith(others):
            name = _our_name(zoo_name.removeprefix(prefix), architecture.zoo_keys)
            if name in tensors:
                raise UserError(f"{origin} holds {name} twice, also as {zoo_name}; give the file of one network")
            tensors[name] = tensor
    return tensors


def _our_name(zoo_name: str, zoo_keys: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in zoo_keys:
        name, count = re.subn(pattern, replacement, zoo_name)
        if count:
            return name
    return zoo_name


def _is_plain(value: Tensor) -> bool:
    """Whether it has its numbers in memory: files can also hold sparse, quantised and empty shells."""
    return not (value.is_quantized or value.is_nested) and value.layout is torch.strided and value.device.type == "cpu"


def _fits(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    return tensors.keys() == expected.keys() and all(
        _is_plain(tensor) and tensor.shape == expected[name].shape for name, tensor in tensors.items()
    )


def _differ(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def _told(tensors: Mapping[str, Tensor]) -> list[str]:
    return [f"{name} {list(tensor.shape)}" if not tensor.is_nested else name for name, tensor in tensors.items()]


def _described(checkpoint: Any) -> str:
    if not isinstance(checkpoint, Mapping):
        return f"a {type(checkpoint).__name__}"
    return f"the keys {few([str(key) for key in checkpoint])}" if checkpoint else "an empty mapping"


def _said_architecture(checkpoint: Any) -> str:
    """The network that the training options in the file name, for messages."""
    options = checkpoint.get("opt") if isinstance(checkpoint, Mapping) else None
    name = vars(options).get("model_s", vars(options).get("model")) if isinstance(options, argparse.Namespace) else None
    return f", made with the option --model {name}," if name else ""
