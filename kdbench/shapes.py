"""Feature sizes of networks, remembered: PyTorch infers them in Python, and imports its compiler for that, which takes
longer than all else that a command does.

Kept in `shapes.json` (`kdbench/store/kept.py`). Only those of kdbench's own networks, which follow from sources that
the key holds; a plugin's may follow from anything, and are inferred each time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json

from pydantic import TypeAdapter

from kdbench import model
from kdbench.environment.distributions import GROUP
from kdbench.environment.sources import module_of
from kdbench.environment.versions import versions
from kdbench.model import Shapes
from kdbench.registry import Registry
from kdbench.store import kept

NAME = "shapes.json"
#: How many are remembered, the latest ones.
MOST = 500
_SHAPES = TypeAdapter(Shapes)


def shapes_of(registry: Registry, name: str, num_classes: int, input_size: int) -> Shapes:
    """`Architecture.shapes` of the network called `name`. Raises `UserError` where it does not take such images."""
    architecture = registry.architecture(name)
    if registry.plugin_of("architecture", architecture.name).distribution != GROUP:
        return architecture.shapes(num_classes, input_size)
    code = registry.sources.of(module_of(architecture.builder))
    follows_from = [architecture.name, num_classes, input_size, code.files, code.packages, versions(), _own_code()]
    key = hashlib.sha256(json.dumps(follows_from, sort_keys=True).encode()).hexdigest()
    found = _kept(key)
    if found is None:
        found = architecture.shapes(num_classes, input_size)
        kept.add(NAME, {key: dataclasses.asdict(found)}, most=MOST)
    return found


def _own_code() -> str:
    return inspect.getsource(model)


def _kept(key: str) -> Shapes | None:
    try:
        return _SHAPES.validate_python(kept.entries(NAME).get(key))
    except ValueError:
        return None
