"""`kdbench list`: what is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from kdbench.cli.options import JsonOption, PluginOption
from kdbench.cli.terminal import screen_width, tell
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.registry import Registry

T = TypeVar("T")
#: Columns that are wrapped, and the fewest and most characters of one; those between columns.
PROSE = {"brought", "citation", "description", "error", "where"}
NARROWEST, WIDEST, GAP = 16, 60, 2

app = typer.Typer(help="What is installed, and which plugin brought it.", no_args_is_help=True)


def _registry(plugin: list[Path] | None) -> Registry:
    from kdbench.cli.values import registry_with

    return registry_with(plugin)


@app.command("methods")
def methods(as_json: JsonOption = False, plugin: PluginOption = None) -> None:
    """Distillation methods."""
    registry = _registry(plugin)
    rows = [_method(registry, name) for name in registry.usable("method")]
    if as_json:
        tell(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        tell(_grouped(rows))


def _method(registry: Registry, name: str) -> dict[str, Any]:
    from kdbench.cli.questions import citation
    from kdbench.supervision import reading, year

    told = _or_unknown(lambda: registry.ask(reading, name))
    if isinstance(told, str):
        told = {"supervision": told, "reads": []}
    return {
        "name": name,
        "teacher": {"labels alone": "no", "?": "?"}.get(told["supervision"], "yes"),
        **told,
        "from": registry.plugin_of("method", name).origin,
        "year": year(source := registry.ask(citation, name)),
        "citation": source,
    }


def _grouped(rows: list[dict[str, Any]]) -> str:
    """A table for each kind of supervision; whose a method is where they are not all one plugin's."""
    from kdbench.supervision import SUPERVISION, UNKNOWN

    columns = ["name", "reads", "year", *(["from"] if len({row["from"] for row in rows}) > 1 else []), "citation"]
    parts = []
    for supervision in (*SUPERVISION, UNKNOWN):
        chosen = [row | {"reads": ", ".join(row["reads"])} for row in rows if row["supervision"] == supervision]
        if chosen:
            shown = [{column: row[column] for column in columns} for row in chosen]
            parts.append(f"Learns from {supervision}\n\n{_table(shown)}")
    return "\n\n".join(parts)


def _or_unknown(tell: Callable[[], T]) -> T | str:
    """What a plugin's code tells; one that cannot hides no other."""
    try:
        return tell()
    except UserError as error:
        typer.echo(f"kdbench: warning: {error}", err=True)
        return "?"


@app.command("architectures")
def architectures(as_json: JsonOption = False, plugin: PluginOption = None) -> None:
    """Networks, with parameters for 100 classes."""
    from kdbench.cli.questions import scheme_described
    from kdbench.registered.offers import SCHEME

    registry = _registry(plugin)
    _print([_architecture(registry, name) for name in registry.usable("architecture")], as_json)
    for name in () if as_json else registry.usable(SCHEME):
        tell(f"{name}:NAME: {registry.ask(scheme_described, name)} ({registry.plugin_of(SCHEME, name).origin})")


def _architecture(registry: Registry, name: str) -> dict[str, Any]:
    from kdbench.cli.questions import parameters

    return {
        "name": name,
        "family": registry.family(name),
        "parameters": _or_unknown(lambda: registry.ask(parameters, name)),
        "from": registry.plugin_of("architecture", name).origin,
    }


@app.command("datasets")
def datasets(as_json: JsonOption = False, plugin: PluginOption = None) -> None:
    """Data sets."""
    registry = _registry(plugin)
    rows = [
        {
            "name": name,
            "from": registry.plugin_of("dataset", name).origin,
            "where": registry.dataset_source(name).locations(None),
        }
        for name in registry.usable("dataset")
    ]
    _print(rows, as_json)


@app.command("grids")
def grids(as_json: JsonOption = False, plugin: PluginOption = None) -> None:
    """Grids."""
    from kdbench.cli.catalogue import grid_rows

    _print(grid_rows(_registry(plugin)), as_json)


@app.command("recipes")
def recipes(as_json: JsonOption = False) -> None:
    """Recipes, for `--recipe` and for grids."""
    from kdbench.recipe import recipe_names

    _print([_recipe(name) for name in recipe_names()], as_json)


def _recipe(name: str) -> dict[str, Any]:
    from kdbench.recipe import load_recipe

    keys = {"epochs", "batch_size", "lr", "milestones"}
    return {"name": name} | load_recipe(name).model_dump(mode="json", include=keys)


@app.command("plugins")
def plugins(as_json: JsonOption = False, plugin: PluginOption = None) -> None:
    """Plugins, what each brought, and what is wrong with one."""
    registry = _registry(plugin)
    rows = [
        {
            "name": found.name,
            "distribution": found.distribution,
            "version": found.version,
            "brought": "; ".join(f"{kind}: {', '.join(names)}" for kind, names in found.brought.items()),
            "error": found.error or "",
        }
        for found in registry.plugins
    ]
    _print(rows, as_json)


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        tell(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        tell(_table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    from tabulate import tabulate

    return str(tabulate(rows, headers="keys", tablefmt="simple", maxcolwidths=widths(rows, screen_width())))


def widths(rows: list[dict[str, Any]], screen: int | None) -> list[int | None]:
    """The most characters of each column of a table: those of prose share what the others leave of the screen."""
    columns = list(rows[0]) if rows else []
    prose = [name for name in columns if name in PROSE]
    if screen is None or not prose:
        return [WIDEST if name in prose else None for name in columns]
    others = sum(max(len(name), *(len(str(row[name])) for row in rows)) for name in columns if name not in prose)
    share = (screen - others - GAP * (len(columns) - 1)) // len(prose)
    return [min(max(share, NARROWEST), WIDEST) if name in prose else None for name in columns]
