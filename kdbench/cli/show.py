"""`kdbench show NAME`: what is behind a name; of a method what it computes, with its numbers filled in."""

from __future__ import annotations

import inspect
import json
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdbench.cli.completion import anything
from kdbench.cli.options import JsonOption, PluginOption, SetOption
from kdbench.cli.terminal import tell
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.method import Method, MethodParams
    from kdbench.registry import Registry


#: What has a name, as messages call it.
KINDS = {"method": "method", "architecture": "network", "dataset": "data set", "grid": "grid", "recipe": "recipe"}
Kind = Literal["method", "architecture", "dataset", "grid", "recipe"]


def show(
    name: Annotated[
        str, typer.Argument(autocompletion=anything, help="A method, network, data set, grid (or its file) or recipe.")
    ],
    kind: Annotated[Kind | None, typer.Option("--kind", help="Which of these, if the name is several.")] = None,
    settings: SetOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what is behind a name: of a method its formula with its weights, its parameters and its citation; of a
    network its shapes; of a data set its size; of a grid its tables; of a recipe its settings.
    """
    from kdbench.cli import descriptions
    from kdbench.cli.values import registry_with

    registry = registry_with(plugin)
    chosen, name = _named(name, kind, registry)
    if chosen == "method":
        described = _described_method(name, settings or [], registry)
    elif settings:
        raise UserError(f"--set is for methods, and '{name}' is shown as a {KINDS[chosen]}.")
    else:
        described = descriptions.DESCRIBED[chosen](name, registry)
    if as_json:
        tell(json.dumps(described, indent=1, ensure_ascii=False, default=descriptions.plain))
    else:
        tell(_text(described) if chosen == "method" else descriptions.as_text(described))


def _named(name: str, kind: Kind | None, registry: Registry) -> tuple[str, str]:
    """What the name is of, `kind` unless that is None, and the name as it is registered.

    Raises `UserError` if it is nothing's, or several things'.
    """
    from kdbench.recipe import recipe_names

    if kind is None and name.lower().endswith((".yaml", ".yml")):
        return "grid", name
    if kind is None and ":" in name:
        return "dataset", name
    names = {of: recipe_names() if of == "recipe" else registry.names(of) for of in KINDS}
    found = {of: one for of, known in names.items() for one in known if one.lower() == name.lower()}
    if kind:
        return kind, found.get(kind, name)
    if not found:
        raise _unknown(name, {one for known in names.values() for one in known})
    if len(found) > 1:
        options = " or ".join(f"--kind {of}" for of in found)
        raise UserError(f"'{name}' is a {' and a '.join(KINDS[of] for of in found)}; choose with {options}.")
    return next(iter(found.items()))


def _unknown(name: str, known: set[str]) -> UserError:
    from kdbench.inputs.errors import unknown
    from kdbench.inputs.wording import listed

    return UserError(f"{unknown('name', name, known)} {listed([f'`kdbench list {of}s`' for of in KINDS])} list them.")


def _described_method(name: str, settings: list[str], registry: Registry) -> dict[str, Any]:
    from kdbench.cells import method_params
    from kdbench.cli.values import by_method, parse_settings

    found = registry.method(name)
    recipe, settings_of = parse_settings(settings)
    values = by_method(settings_of, registry)
    if recipe or values.keys() - {found.name}:
        raise UserError(f"`kdbench show {found.name}` takes only --set {found.name}.PARAMETER=VALUE.")
    return describe(found, method_params(found, values.get(found.name, {})), registry)


def describe(method: type[Method], params: MethodParams, registry: Registry) -> dict[str, Any]:
    """Everything `kdbench show` prints of a method, as plain data."""
    from kdbench.environment.sources import source_file
    from kdbench.formula import formula
    from kdbench.inputs.places import asking

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
        "default": field.default,
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
    import types

    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _text(described: dict[str, Any]) -> str:
    lines = [described["name"] + (f" ({described['caveat']})" if described["caveat"] else "")]
    lines += [described["citation"], "", described["formula"], "", described["description"], "", "Parameters"]
    for parameter in described["parameters"]:
        changed = "" if parameter["value"] == parameter["default"] else f" (default {parameter['default']})"
        lines.append(f"  {parameter['name']} = {parameter['value']}{changed}   [{parameter['type']}]")
        lines.append(f"      {parameter['description']}")
        lines += [f"      paper: {parameter['paper']}"] if parameter["paper"] else []
        lines += [f"      alternatives: {parameter['alternatives']}"] if parameter["alternatives"] else []
    if not described["parameters"]:
        lines.append("  none")
    needs = described["needs"]
    lines += [
        "",
        f"Reads: student {', '.join(needs['student'])}; teacher {', '.join(needs['teacher']) or 'none'}"
        + (f"; batch {', '.join(needs['batch'])}" if needs["batch"] else ""),
    ]
    lines += ["Trains a pre-stage on the frozen teacher first."] if described["pre_stage"] else []
    lines += [f"Keeps at deployment: {', '.join(described['kept_at_deployment'])}"] * bool(
        described["kept_at_deployment"]
    )
    return "\n".join([*lines, f"Plugin: {described['plugin']}; {described['source']}"])
