"""A grid read from YAML, and what a command line changes about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kdbench.candidates import with_candidates
from kdbench.grid import Grid, Pair, PairField, Row, Table
from kdbench.inputs import paths
from kdbench.inputs.documents import read_yaml
from kdbench.inputs.errors import UserError, lacking, unknown
from kdbench.inputs.networks import network_of_scheme, setting
from kdbench.inputs.validation import unknown_key, validated
from kdbench.inputs.wording import counted
from kdbench.paper import load_paper_table
from kdbench.recipe import Recipe, load_recipe
from kdbench.registry import Registry


class Selection(BaseModel):
    """What a command line changes about a grid. Empty means: as the grid says."""

    model_config = ConfigDict(frozen=True)

    tables: tuple[str, ...] = ()
    pairs: tuple[PairField, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    dataset: str | None = None
    recipe_name: str | None = Field(None, description="a recipe in place of the grid's `recipe`")
    recipe: dict[str, Any] = Field({}, description="single values of the students' and teachers' recipe, applied last")
    params: dict[str, dict[str, Any]] = {}
    networks: dict[str, dict[str, Any]] = Field({}, description="settings of networks of a scheme, `scheme:name`")
    candidates: dict[str, dict[str, list[Any]]] = Field({}, description="method → parameter → values to compare")


def load_grid(
    name: str,
    registry: Registry,
    selection: Selection | None = None,
    data_name: Callable[[str], str] | None = None,
) -> Grid:
    """A grid by name or YAML file, with a selection applied. Raises `UserError` for whatever does not exist.

    A recipe that the selection names is the grid's: teachers follow it unless the grid has a `teacher_recipe`. Titles
    name a selected data set by `data_name` of its spec, or without it by its source's label, and the epochs where they
    are not as many as the grid's own.
    """
    selection = selection or Selection()
    data_name = data_name or (lambda spec: registry.dataset(spec).label)
    path = grid_file(name, registry)
    values = read_yaml(path)
    what = f"grid {path.name}"
    for key in values:
        # A misspelt key explains the missing recipe.
        if key not in Grid.model_fields:
            raise unknown_key(Grid, (key,), what)
    own_recipe = values.pop("recipe", None)
    recipe = own_recipe if selection.recipe_name is None else selection.recipe_name
    own_teacher_recipe = values.pop("teacher_recipe", recipe)
    for key, given in (("recipe", recipe), ("teacher_recipe", own_teacher_recipe)):
        if not isinstance(given, str | dict):
            raise UserError(f"{what}: {key}: name a recipe or give a mapping, such as `{key}: crd240`.")
    values = {"name": path.stem} | values
    if isinstance(dataset := values.get("dataset"), str):
        values["dataset"] = registry.dataset_beside(dataset, path.parent)
    values["recipe"] = load_recipe(recipe, selection.recipe)
    values["teacher_recipe"] = load_recipe(own_teacher_recipe, selection.recipe)
    own = validated(Grid, values, what)
    grid = _canonical(_select(own, selection), registry, selection.networks)
    grid = validated(Grid, grid.model_dump(), what)  # what is selected must be a grid as well, of no more runs
    tables = tuple(_comparable(table, grid.recipe, own_recipe, registry) for table in grid.tables)
    epochs = None if own_recipe is None else load_recipe(own_recipe).epochs
    # The grid's own data may have been selected by another spec.
    data = data_name(selection.dataset) if selection.dataset else own.dataset
    tables = tuple(_titled(table, grid, data if data != own.dataset else None, epochs) for table in tables)
    return _with_distinct_cells(grid.model_copy(update={"tables": tables}), what)


def grid_file(name: str, registry: Registry) -> Path:
    """A YAML file by its path, or a registered grid's by its name."""
    if name.lower().endswith((".yaml", ".yml")):
        return paths.file(name)
    if name not in registry.names("grid"):
        for candidate in filter(None, (_file(f"{name}.yaml"), _file(name))):
            raise UserError(f"no grid is called '{name}'; the file is {candidate}: a grid's file ends in .yaml.")
    return registry.grid_file(name)


def _file(name: str) -> Path | None:
    """The file of that path; None where it is none, as most names of grids are not."""
    try:
        path = paths.file(name)
    except UserError:
        return None
    return path if path.is_file() else None


def _comparable(table: Table, recipe: Recipe, own: str | dict[str, Any] | None, registry: Registry) -> Table:
    """The table without its paper's numbers where they are of another recipe: the paper's own, or else the grid's."""
    if not table.paper:
        return table
    measured_by = load_paper_table(table.paper, registry).recipe or own
    if measured_by is None or not _trains_otherwise(recipe, load_recipe(measured_by)):
        return table
    return table.model_copy(update={"rows": tuple(row.model_copy(update={"published": False}) for row in table.rows)})


def _trains_otherwise(recipe: Recipe, own: Recipe) -> bool:
    """Whether more than the precision differs: a paper's numbers are then none to compare with."""
    return recipe != own.model_copy(update={"precision": recipe.precision})


def _select(grid: Grid, selection: Selection) -> Grid:
    tables = _chosen_tables(grid, selection.tables)
    tables = _chosen_pairs(tables, selection.pairs)
    tables = _chosen_methods(tables, selection.methods)
    for method in (*selection.params, *selection.candidates):
        if not any(row.method == method for table in tables for row in table.rows):
            methods = {row.method for table in tables for row in table.rows}
            raise unknown("method in this selection", method, methods, "kdbench list methods")
    tables = tuple(table.model_copy(update={"rows": tuple(_rows(table, selection))}) for table in tables)
    return grid.model_copy(
        update={
            "tables": tables,
            "seeds": selection.seeds or grid.seeds,
            "dataset": selection.dataset or grid.dataset,
        }
    )


def _titled(table: Table, grid: Grid, data: str | None, epochs: int | None) -> Table:
    """The table with what its title cannot know: `data` that are not the grid's own, and how many epochs there are if
    its own recipe has `epochs`. A table that reprints a paper's says itself where that was measured.
    """
    here = [] if data is None or table.paper else [f"on {data}"]
    if epochs not in (None, grid.recipe.epochs):
        here.append(f"after {counted(grid.recipe.epochs, 'epoch')}")
    return table.model_copy(update={"title": f"{table.title} (here {', '.join(here)})"}) if here else table


def _chosen_tables(grid: Grid, names: tuple[str, ...]) -> tuple[Table, ...]:
    known = {table.name: table for table in grid.tables}
    for name in names:
        if name not in known:
            raise lacking(f"grid '{grid.name}'", "table", name, known)
    return tuple(table for table in grid.tables if not names or table.name in names)


def _chosen_pairs(tables: tuple[Table, ...], pairs: tuple[Pair, ...]) -> tuple[Table, ...]:
    """Tables reduced to `pairs`; a pair that no table has joins the first."""
    if not pairs:
        return tables
    wanted = tuple(pair.model_copy() for pair in pairs)
    folded = {str(pair).lower(): pair for pair in wanted}
    listed = {str(pair).lower() for table in tables for pair in table.pairs}
    new = tuple(pair for key, pair in folded.items() if key not in listed)
    chosen = []
    for position, table in enumerate(tables):
        kept = tuple(pair for pair in table.pairs if str(pair).lower() in folded)
        kept += new if position == 0 and table.layout == "pairs" else ()
        if kept:
            chosen.append(table.model_copy(update={"pairs": kept}))
    return tuple(chosen)


def _chosen_methods(tables: tuple[Table, ...], methods: tuple[str, ...]) -> tuple[Table, ...]:
    """Tables reduced to rows of `methods`; a method that no table has gets a row in the first."""
    if not methods:
        return tables
    wanted = {method.lower(): method for method in methods}
    listed = {row.method.lower() for table in tables for row in table.rows}
    new = tuple(Row(method=method) for key, method in wanted.items() if key not in listed)
    chosen = []
    for position, table in enumerate(tables):
        kept = tuple(row for row in table.rows if row.method.lower() in wanted)
        kept += new if position == 0 else ()
        if kept:
            chosen.append(table.model_copy(update={"rows": kept}))
    return tuple(chosen)


def _rows(table: Table, selection: Selection) -> Iterator[Row]:
    for row in table.rows:
        yield from with_candidates(_with_params(row, selection.params), selection.candidates.get(row.method, {}))


def _with_params(row: Row, overrides: dict[str, dict[str, Any]]) -> Row:
    params = {**overrides.get(row.method, {}), **row.params}
    return row.model_copy(update={"params": params, "published": row.published and params == row.params})


def _canonical(grid: Grid, registry: Registry, settings: dict[str, dict[str, Any]]) -> Grid:
    """Every name as its plugin spells it, networks of a scheme with their settings; an unknown one is an error here,
    before anything is planned.
    """
    set_for = {registry.name("architecture", name): values for name, values in settings.items()}
    named: set[str] = set()

    def whole(name: str) -> str:
        written = network_of_scheme(name)
        if written is None:
            return name
        plain = str(replace(written, settings={}))
        named.add(plain)
        given = {key: setting(key, value) for key, value in set_for.get(plain, {}).items()}
        return registry.name("architecture", str(replace(written, settings=given | written.settings)))

    tables = []
    for table in grid.tables:
        both = (registry.pair(str(pair)) for pair in table.pairs)
        pairs = tuple(Pair(teacher=whole(teacher), student=whole(student)) for teacher, student in both)
        rows = tuple(row.model_copy(update={"method": registry.name("method", row.method)}) for row in table.rows)
        tables.append(table.model_copy(update={"pairs": pairs, "rows": rows}))
    if idle := set_for.keys() - named:
        raise unknown("network in this selection", min(idle), named)
    registry.dataset(grid.dataset)
    return grid.model_copy(update={"tables": tuple(tables)})


def _with_distinct_cells(grid: Grid, what: str) -> Grid:
    """The grid, in whose tables a row and a pair name one cell."""
    for table in grid.tables:
        pairs, rows = [str(pair) for pair in table.pairs], [row.key for row in table.rows]
        for kind, names, mend in (("pair", pairs, "name it once"), ("row", rows, "give each a `variant` of its own")):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise UserError(f"{what}: table '{table.name}' has the {kind} '{twice}' twice; {mend}.")
    return grid
