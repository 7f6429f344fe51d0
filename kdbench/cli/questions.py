"""What `kdbench list` and `kdbench show` ask of plugins' code, for `Registry.ask`."""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING, Any

from kdbench.declared import method_params
from kdbench.environment.sources import source_file
from kdbench.formula import formula
from kdbench.inputs.errors import UserError
from kdbench.inputs.places import asking

if TYPE_CHECKING:
    from kdbench.method import MethodParams
    from kdbench.model import Architecture, Shapes
    from kdbench.registry import Registry

#: Classes at which networks are described, those of CIFAR-100, and pixels: the first that a network takes.
CLASSES, PIXELS = 100, (32, 224, 256)


def citation(registry: Registry, name: str) -> str:
    """Where a method comes from, with its caveat."""
    method = registry.method(name)
    return method.citation + (f" ({method.caveat})" if method.caveat else "")


def method_described(registry: Registry, name: str, values: dict[str, object]) -> dict[str, Any]:
    """Everything `kdbench show` prints of a method under the parameters `values`."""
    method = registry.method(name)
    params = method_params(method, values)
    with asking(method, "needs_for"):
        needs = method.needs_for(params)
        read = {"student": needs.student, "teacher": needs.teacher, "batch": needs.batch}
    with asking(method, "pre_stage"):
        pre_stage = method.pre_stage(params) is not None
    with asking(method, "caveat_for"):
        caveat = method.caveat_for(params)
    path, digest = source_file(method)
    return {
        "name": method.name,
        "caveat": caveat,
        "citation": method.citation,
        "formula": formula(method, params),
        "description": inspect.cleandoc(method.__doc__ or ""),
        "parameters": [_parameter(name, params) for name in type(params).model_fields],
        "needs": read,
        "class_indices": needs.class_indices,
        "pre_stage": pre_stage,
        "kept_at_deployment": method.kept,
        "plugin": registry.plugin_of("method", method.name).origin,
        "source": path,
        "source_sha256": digest,
    }


def _parameter(name: str, params: MethodParams) -> dict[str, Any]:
    field = type(params).model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return {
        "name": name,
        "type": _type_name(field.annotation),
        "value": params.model_dump(mode="json")[name],
        "default": type(params)().model_dump(mode="json")[name],
        "description": field.description or "",
        "paper": extra.get("paper", ""),
        "alternatives": extra.get("alternatives", ""),
    }


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return " | ".join(map(_type_name, typing.get_args(annotation))) if _is_union(annotation) else str(annotation)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def parameters(registry: Registry, name: str) -> int:
    """How many parameters a network has. Raises `UserError` if it cannot be built."""
    from kdbench.meta import without_data

    # Before anything is made without data: plugins may be loaded for it.
    network = registry.architecture(name)
    with without_data():
        return sum(parameter.numel() for parameter in network.build(CLASSES).parameters())


def scheme_described(registry: Registry, name: str) -> str:
    """What a scheme of networks offers."""
    return registry.scheme(name).about


def network_described(registry: Registry, name: str) -> dict[str, Any]:
    """A network's size, and the shapes that methods see."""
    import torch

    from kdbench.training.flops import forward_flops

    network = registry.architecture(name)
    pixels, shapes = _taken(network)
    with torch.device("meta"):
        model = network.build(CLASSES)
    return {
        "pixels": pixels,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops_per_image": forward_flops(model, pixels),
        "stages": shapes.stages,
        "final_map": shapes.final_map,
        "embedding": shapes.embedding,
        "absent": shapes.absent,
        "unbranched": shapes.unbranched,
    }


def _taken(network: Architecture) -> tuple[int, Shapes]:
    """The pixels at which a network is described, and its shapes there. Raises `UserError` if it takes none of them."""
    refusals = []
    for pixels in PIXELS:
        try:
            return pixels, network.shapes(CLASSES, pixels)
        except UserError as error:
            refusals.append(error)
    raise refusals[0]
