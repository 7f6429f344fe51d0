"""`kdbench show NAME`: what is behind a name; of a method what it computes, with its numbers filled in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kdbench.cli.completion import anything
from kdbench.cli.options import JsonOption, PluginOption, SetOption
from kdbench.cli.terminal import tell
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
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

    A method comes before what is called like it, such as the grid of its paper's tables. Raises `UserError` if the name
    is nothing's, or several other things'.
    """
    from kdbench.recipe import recipe_names

    if kind is None and name.lower().endswith((".yaml", ".yml")):
        return "grid", name
    if kind is None and ":" in name:
        return ("architecture" if registry.has_scheme(name.partition(":")[0]) else "dataset"), name
    names = {of: recipe_names() if of == "recipe" else registry.names(of) for of in KINDS}
    found = {of: one for of, known in names.items() for one in known if one.lower() == name.lower()}
    if kind:
        return kind, found.get(kind, name)
    if not found:
        raise _unknown(name, {one for known in names.values() for one in known})
    if "method" in found:
        for other in list(found)[1:]:
            typer.echo(f"kdbench: '{name}' is a {KINDS[other]} as well, which --kind {other} shows.", err=True)
    elif len(found) > 1:
        options = " or ".join(f"--kind {of}" for of in found)
        raise UserError(f"'{name}' is a {' and a '.join(KINDS[of] for of in found)}; choose with {options}.")
    return next(iter(found.items()))


def _unknown(name: str, known: set[str]) -> UserError:
    from kdbench.inputs.errors import unknown
    from kdbench.inputs.wording import listed

    return UserError(f"{unknown('name', name, known)} {listed([f'`kdbench list {of}s`' for of in KINDS])} list them.")


def _described_method(name: str, settings: list[str], registry: Registry) -> dict[str, Any]:
    from kdbench.cli.questions import method_described
    from kdbench.cli.values import by_method, parse_settings

    found = registry.name("method", name)
    recipe, settings_of, networks = parse_settings(settings)
    values = by_method(settings_of, registry)
    if recipe or networks or values.keys() - {found}:
        raise UserError(f"`kdbench show {found}` takes only --set {found}.PARAMETER=VALUE.")
    return registry.ask(method_described, found, values.get(found, {}))


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
    lines += ["Declines recipes that make class probabilities of labels."] if described["class_indices"] else []
    lines += ["Trains a pre-stage on the frozen teacher first."] if described["pre_stage"] else []
    lines += [f"Keeps at deployment: {', '.join(described['kept_at_deployment'])}"] * bool(
        described["kept_at_deployment"]
    )
    return "\n".join([*lines, f"Plugin: {described['plugin']}; {described['source']}"])
