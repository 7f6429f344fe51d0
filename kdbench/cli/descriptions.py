"""What `kdbench show` says of grids, networks, data sets and recipes.

Recipes, rows and shapes (tuples) in it are spelt out by `plain` for JSON, and put in words by `as_text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kdbench.cli.catalogue import count_runs
from kdbench.cli.questions import CLASSES, network_described
from kdbench.cli.recipes import recipe_in_words
from kdbench.grid import Row
from kdbench.inputs.commands import kdbench
from kdbench.inputs.errors import UserError
from kdbench.recipe import Recipe, load_recipe
from kdbench.registry import Registry
from kdbench.selection import grid_file, load_grid


def describe_grid(name: str, registry: Registry) -> dict[str, Any]:
    """A grid's own words, its recipes and its tables."""
    grid = load_grid(name, registry)
    teachers = {"teachers": grid.teacher_recipe} if grid.teacher_recipe != grid.recipe else {}
    return {
        "grid": grid.name,
        "file": str(grid_file(name, registry)),
        "description": grid.description,
        "dataset": grid.dataset,
        "recipe": grid.recipe,
        **teachers,
        "seeds": list(grid.seeds),
        "tables": [
            {
                "name": table.name,
                "title": table.title,
                "pairs": [str(pair) for pair in table.pairs],
                "rows": list(table.rows),
                "beside": f"the numbers of {table.paper}" if table.paper else "no published numbers",
            }
            for table in grid.tables
        ],
        "runs": f"at most {count_runs(grid):,}, teachers included",
        "to_start_it": kdbench("run", "--grid", name),
        "to_see_what_it_costs_here": kdbench("run", "--grid", name, "--dry-run"),
    }


def describe_architecture(name: str, registry: Registry) -> dict[str, Any]:
    """A network's family and size, and the shapes that methods see."""
    network = registry.name("architecture", name)
    found = registry.ask(network_described, network)
    return {
        "network": network,
        "family": registry.family(network),
        "classes": CLASSES,
        **_what_there_is(found),
        "plugin": registry.plugin_of("architecture", network).origin,
    }


def _what_there_is(found: dict[str, Any]) -> dict[str, Any]:
    """A network's sizes, with what it lacks where it lacks anything."""
    absent, unbranched = found["absent"], found["unbranched"]
    shown = {**found, "stages": [*map(tuple, found["stages"])], "final_map": tuple(found["final_map"])}
    shown = {key: value for key, value in shown.items() if key not in (*absent, "absent", "unbranched")}
    lacks = {"has_no": absent} if absent else {}
    return shown | lacks | ({"no_branch_after_stage": unbranched} if unbranched else {})


def describe_dataset(name: str, registry: Registry) -> dict[str, Any]:
    """What is known of a data set without loading it."""
    source = registry.dataset(name)
    known: dict[str, object]
    try:
        info = source.info(None)
        known = {
            "classes": info.num_classes,
            "training_images": info.train_size,
            "test_images": info.test_size,
            "pixels": info.input_size or "any",
        }
    # A kind of data set, such as a folder's, of which nothing is known without the folder.
    except UserError as error:
        known = {"how": str(error)}
    return {"dataset": name, "where": source.locations(None), **known}


def describe_recipe(name: str, registry: Registry) -> dict[str, Any]:
    """A recipe and its learning rates."""
    recipe = load_recipe(name)
    return {
        "recipe": name,
        "training": recipe,
        "learning_rate": recipe.lr,
        **_rates(recipe),
    }


def _rates(recipe: Recipe) -> dict[str, float]:
    return {f"learning_rate_of_{family}": rate for family, rate in recipe.lr_by_family.items()}


#: What describes each kind, methods aside.
DESCRIBED: dict[str, Callable[[str, Registry], dict[str, Any]]] = {
    "architecture": describe_architecture,
    "dataset": describe_dataset,
    "grid": describe_grid,
    "recipe": describe_recipe,
}


def plain(value: object) -> dict[str, Any]:
    """A recipe or a row of a description, for JSON."""
    if isinstance(value, Recipe):
        return value.model_dump(mode="json")
    if isinstance(value, Row):
        return {"key": value.key, "label": value.label, "params": value.params}
    raise TypeError(f"a {type(value).__name__} is not described")


def as_text(described: dict[str, Any]) -> str:
    """A description as lines `key: value`, tables below each other."""
    return "\n".join(_lines(described, ""))


def _lines(described: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in described.items():
        words = key.replace("_", " ")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for part in value:
                yield f"{indent}{words.removesuffix('s')}"
                yield from _lines(part, indent + "  ")
        else:
            shown = f"{value:,}" if isinstance(value, int) else _in_words(value)
            yield f"{indent}{words}: {shown}"


def _in_words(value: object) -> str:
    if isinstance(value, Recipe):
        return recipe_in_words(value)
    if isinstance(value, Row):
        params = ", ".join(f"{key}={setting}" for key, setting in value.params.items())
        return f"{value.key} ({params})" if params else value.key
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return str(value)
