"""What figures draw: the finished runs behind each row of a table on one pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kdbench.cells import Expansion
from kdbench.declared import method_params
from kdbench.grid import Pair, Table
from kdbench.inputs.places import exits_refused
from kdbench.registry import Registry
from kdbench.report.figures.style import Look
from kdbench.report.results import CellResult
from kdbench.store.records import Epoch, Record

#: Letters of a row's label beside a figure, and above a small panel; tables have it whole.
LABEL_LETTERS, PANEL_LETTERS = 44, 22


@dataclass(frozen=True)
class Series:
    """A row of a table on one pair. `weights` are the factors of its recorded loss terms; none if they are unknown."""

    result: CellResult
    records: tuple[Record, ...]
    weights: Mapping[str, float]
    look: Look

    @property
    def label(self) -> str:
        """How figures call it: as tables do, but no longer than leaves room for the figure."""
        return _cut(self.result.cell.label, LABEL_LETTERS)

    @property
    def panel_label(self) -> str:
        """How its own small panel is headed."""
        return _cut(self.result.cell.label, PANEL_LETTERS)

    @property
    def gid(self) -> str:
        """What the page finds its lines by."""
        return f"series-{self.look.index}"


@dataclass(frozen=True)
class Plot:
    """One table on one pair, the unit that figures are drawn for.

    `points` limits the epochs of a curve; `titled` is false where a heading stands above the figure anyway.
    """

    table: Table
    pair: Pair
    series: tuple[Series, ...]
    points: int | None = None
    titled: bool = True

    @property
    def few_points(self) -> int | None:
        """`points` for a curve in a small panel."""
        return self.points // 2 if self.points else None

    @property
    def title(self) -> str:
        """What stands above the figure."""
        return f"{self.pair.teacher} → {self.pair.student}" if self.titled else ""

    @property
    def unweighted(self) -> list[str]:
        """The rows whose loss terms cannot be drawn: their methods' `weights` are not those of the records."""
        return [one.result.cell.label for one in self.series if not one.weights]


@dataclass(frozen=True)
class Band:
    """Mean, least and greatest over seeds of one quantity, by epoch."""

    epochs: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 2].rstrip()} …"


def plots(
    expansion: Expansion,
    results: list[CellResult],
    records: Mapping[str, Record],
    registry: Registry,
    *,
    points: int | None = None,
    titled: bool = True,
) -> list[Plot]:
    """Every table × pair of a grid that has at least one finished run."""
    found = []
    for table in expansion.grid.tables:
        for pair in table.pairs:
            cells = [r for r in results if r.cell.table.name == table.name and r.cell.pair == pair]
            series = tuple(_series(result, index, records, registry) for index, result in enumerate(cells))
            if any(one.records for one in series):
                found.append(Plot(table, pair, tuple(one for one in series if one.records), points, titled))
    return found


def _series(result: CellResult, index: int, records: Mapping[str, Record], registry: Registry) -> Series:
    done = [records[run.id] for run in result.cell.runs if run.id in records and records[run.id].status == "done"]
    return Series(result, tuple(done), _weights(result, done, registry) if done else {}, Look(index))


def _weights(result: CellResult, done: list[Record], registry: Registry) -> Mapping[str, float]:
    method = registry.method(result.cell.row.method)
    params = method_params(method, result.cell.row.params)
    # A method may have been changed since its runs finished, and may now raise or name other terms.
    try:
        with exits_refused():
            weights = method.weights(params)
    except Exception:
        return {}
    fits = all(epoch.terms.keys() == weights.keys() for record in done for epoch in record.curve)
    return weights if fits else {}


def band(records: tuple[Record, ...], value: Callable[[Epoch], float], points: int | None) -> Band:
    """A quantity of each epoch over the runs; of more than `points` epochs so many are taken, evenly, none averaged."""
    epochs = np.array([epoch.epoch for epoch in records[0].curve])
    values = np.array([[value(epoch) for epoch in record.curve] for record in records])
    if points and len(epochs) > points:
        kept = np.unique(np.linspace(0, len(epochs) - 1, points).round().astype(int))
        epochs, values = epochs[kept], values[:, kept]
    return Band(epochs, values.mean(axis=0), values.min(axis=0), values.max(axis=0))
