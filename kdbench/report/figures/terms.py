"""Loss terms: what each contributes to the total, and its share of it, over the epochs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from kdbench.report.figures.series import Band, Plot, Series, band
from kdbench.report.figures.style import Look, legend, panels, styled
from kdbench.store.records import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Training loss by term over the epochs: weight × term, mean over samples and seeds; below, each term's share of "
    "the total (of the sum of absolute values)."
)
_COLUMNS = 5


def draw(plot: Plot) -> Figure | None:
    """Two panels a row of the table: contributions above, shares below. None if no row has two terms."""
    shown = [series for series in plot.series if len(series.weights) > 1]
    if not shown:
        return None
    columns = min(len(shown), _COLUMNS)
    rows = -(-len(shown) // columns)
    with styled():
        figure, axes = panels(2 * rows, columns, max(1.85, 5.2 / columns), 1.9, sharex=True)
        for place, series in enumerate(shown):
            block, column = divmod(place, columns)
            _panels(axes[2 * block][column], axes[2 * block + 1][column], series, plot.few_points)
        for block in range(rows):
            axes[2 * block][0].set_ylabel("weight × term")
            axes[2 * block + 1][0].set_ylabel("share")
        for place in range(len(shown), rows * columns):
            block, column = divmod(place, columns)
            axes[2 * block][column].remove()
            axes[2 * block + 1][column].remove()
        if plot.titled:
            figure.suptitle(plot.title, x=0.01, ha="left", fontsize=9)
    return figure


def left_out(labels: Iterable[str]) -> str:
    """Why rows are not drawn, in words."""
    return f"without {', '.join(labels)}, whose `weights`, as they are now, do not name the terms of the records"


def _panels(above: Axes, below: Axes, series: Series, points: int | None) -> None:
    """Both panels of one row; they bear the row's mark, so that the page can hide them."""
    parts = {name: _contribution(series, name, points) for name in series.weights}
    total = np.sum([np.abs(part.mean) for part in parts.values()], axis=0)
    for index, part in enumerate(parts.values()):
        look = Look(index)
        every = max(len(part.epochs) // 4, 1)
        style = {"color": look.colour, "ls": look.line, "marker": look.marker, "markevery": (index, every), "ms": 3}
        above.plot(part.epochs, np.abs(part.mean), **style)
        below.plot(part.epochs, np.abs(part.mean) / np.where(total == 0, 1, total), **style)
    above.set(title=series.panel_label, yscale="log")
    # Plain numbers: matplotlib's powers of ten are formulas, which names must not be read as.
    above.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    legend(
        below,
        above.get_lines(),
        list(parts),
        loc="upper left",
        bbox_to_anchor=(0, -0.22),
        fontsize=7,
        handlelength=2.6,
        labelspacing=0.25,
        borderpad=0,
    )
    below.set_ylim(0, 1)
    below.set_yticks([0, 0.5, 1])
    below.tick_params(labelbottom=True)
    for axes in (above, below):
        axes.minorticks_off()
        axes.set_gid(series.gid)


def _contribution(series: Series, name: str, points: int | None) -> Band:
    def weighted(epoch: Epoch) -> float:
        return series.weights[name] * epoch.terms[name]

    return band(series.records, weighted, points)
