"""A grid opened on its data set and results folder, and the options of every command that works on one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

import typer

from kdbench.cli import options

if TYPE_CHECKING:
    from kdbench.cells import Expansion
    from kdbench.data.opened import OpenDataset
    from kdbench.registry import Registry
    from kdbench.store.store import Store


@dataclass(frozen=True)
class Session:
    """A grid opened on its data set and results folder."""

    registry: Registry
    data: OpenDataset
    expansion: Expansion
    store: Store
    imported: dict[str, Path]
    plugin_files: tuple[Path, ...] = ()


def open_session(
    grid: options.GridOption = "",
    tables: options.TablesOption = "",
    pairs: options.PairsOption = "",
    methods: options.MethodsOption = "",
    seeds: options.SeedsOption = "",
    dataset: options.DatasetOption = "",
    data_dir: options.DataDirOption = None,
    recipe: options.GridRecipeOption = "",
    settings: options.SetOption = None,
    vary: options.VaryOption = None,
    precision: options.PrecisionOption = "",
    results: options.ResultsOption = options.RESULTS,
    plugin: options.PluginOption = None,
    teacher: options.TeacherOption = None,
) -> Session:
    """Everything the shared options say. Raises `UserError` for whatever is wrong with them."""
    from kdbench.cells import Expansion
    from kdbench.cli.values import (
        by_method,
        imported_teachers,
        parse_candidates,
        parse_settings,
        registry_with,
        seeds_of,
        words,
    )
    from kdbench.data.opened import OpenDataset
    from kdbench.inputs.errors import UserError
    from kdbench.inputs.validation import validated
    from kdbench.selection import Selection, load_grid
    from kdbench.store.store import Store

    registry = registry_with(plugin)
    changed, params, networks = parse_settings(settings or [])
    if precision:
        if "precision" in changed:
            raise UserError("--precision and --set recipe.precision say the same; give one of them.")
        changed["precision"] = precision
    selection = validated(
        Selection,
        {
            "tables": words(tables),
            "pairs": words(pairs),
            "methods": words(methods),
            "seeds": seeds_of(seeds),
            "dataset": dataset or None,
            "recipe_name": recipe or None,
            "recipe": changed,
            "params": by_method(params, registry),
            "networks": networks,
            "candidates": by_method(parse_candidates(vary or []), registry),
        },
        "command line",
    )
    # Once, for what local data are called may take decoding them.
    opened = functools.cache(lambda spec: OpenDataset(registry.dataset(spec), data_dir))
    chosen = load_grid(grid, registry, selection, lambda spec: opened(spec).info.name)
    data = opened(chosen.dataset)
    imported = imported_teachers(teacher or [], registry)
    digests = {architecture: digest for architecture, (digest, _) in imported.items()}
    expansion = Expansion(chosen, registry, data.info, digests)
    files = tuple(plugin or ())
    return Session(registry, data, expansion, Store(results), dict(imported.values()), files)


def _list_grids(plugin: list[Path] | None) -> NoReturn:
    """What there is to choose from, on standard error and with the exit code of a mistake: nothing was done."""
    from kdbench.cli.catalogue import how_to_start
    from kdbench.cli.values import registry_with

    typer.echo(f"kdbench: name a grid with --grid.\n\n{how_to_start(registry_with(plugin))}", err=True)
    raise typer.Exit(2)


def with_session(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose first parameter is a session, with the options of `open_session` in its place.

    A parameter that both have is the command's own, and reaches both.
    """
    own = list(inspect.signature(command).parameters.values())[1:]
    shared = inspect.signature(open_session).parameters.values()
    hints = get_type_hints(open_session, include_extras=True) | get_type_hints(command, include_extras=True)
    named = {parameter.name: parameter for parameter in (*shared, *own)}
    # Keyword-only, so that one without a default may follow one with.
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
        for parameter in named.values()
    ]

    @functools.wraps(command)
    def opened(**values: Any) -> None:
        if not values["grid"]:
            _list_grids(values["plugin"])
        session = open_session(**{parameter.name: values[parameter.name] for parameter in shared})
        command(session, **{parameter.name: values[parameter.name] for parameter in own})

    opened.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    opened.__annotations__ = {parameter.name: hints[parameter.name] for parameter in parameters}
    # Else typer would read the command's own signature.
    del opened.__wrapped__
    return opened
