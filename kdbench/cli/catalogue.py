"""Grids in a line each: what they are, how much they train, and where the cost of one is told."""

from __future__ import annotations

from typing import Any

import typer
from tabulate import tabulate

from kdbench.data.dataset import DatasetSource
from kdbench.execution import costs
from kdbench.grid import Grid
from kdbench.inputs.commands import command_line, kdbench
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.selection import load_grid


def grid_rows(registry: Registry) -> list[dict[str, Any]]:
    """What `kdbench list grids` says of each grid, without opening data or counting operations."""
    return [row for name in registry.usable("grid") if (row := _row(name, registry))]


def how_to_start(registry: Registry) -> str:
    """The grids, and how the command that was given takes one."""
    columns = ("name", "runs", "epochs", "takes", "data", "description")
    rows = [{key: row[key] for key in columns} for row in grid_rows(registry)]
    lines = [
        tabulate(rows, headers="keys", tablefmt="simple", maxcolwidths=[None, None, None, 16, 24, 40], stralign="left"),
        "",
        "runs: at most, teachers included; tables may share some",
        f"to start one: {command_line()} --grid quick",
        "takes: all of its runs, as it was last estimated; –: not yet",
        f"to estimate what one takes here, in operations, time and memory: {kdbench('run', '--grid')} NAME --dry-run",
    ]
    return "\n".join(lines)


def count_runs(grid: Grid) -> int:
    """An upper bound of a grid's runs, teachers included: tables may share runs, and methods decline pairs."""
    cells = sum(len(table.pairs) * len(table.rows) for table in grid.tables)
    return cells * len(grid.seeds) + len({pair.teacher for table in grid.tables for pair in table.pairs})


def _row(name: str, registry: Registry) -> dict[str, Any] | None:
    try:
        grid = load_grid(name, registry)
        source = registry.dataset(grid.dataset)
    # One that is broken hides no other.
    except UserError as error:
        typer.echo(f"kdbench: warning: {error}", err=True)
        return None
    return {
        "name": name,
        "from": registry.plugin_of("grid", name).origin,
        "runs": count_runs(grid),
        "epochs": grid.recipe.epochs,
        "takes": costs.known(grid) or "–",
        "data": f"{grid.dataset} ({_where(source)})",
        "description": grid.description,
    }


def _where(source: DatasetSource) -> str:
    return "here" if source.available(None) else "not here yet"
