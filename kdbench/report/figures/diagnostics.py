"""What methods tell of single samples, over the epochs: means over a fixed part of the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbench.report.figures.series import Plot, Series, band
from kdbench.report.figures.style import Look, legend, panels, styled
from kdbench.store.records import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "What the method computes of single samples, after each epoch: mean over up to 500 training images, evenly spread, "
    "not augmented, in eval mode; shaded from the lowest seed to the highest."
)
_COLUMNS = 3


def draw(plot: Plot) -> Figure | None:
    """One panel a row of the table whose method tells anything; None if none does."""
    shown = [series for series in plot.series if series.records[0].curve[-1].diagnostics]
    if not shown:
        return None
    columns = min(len(shown), _COLUMNS)
    rows = -(-len(shown) // columns)
    with styled():
        figure, axes = panels(rows, columns, max(2.6, 5.2 / columns), 2.3, sharex=True)
        flat = [one for row in axes for one in row]
        for series, one in zip(shown, flat, strict=False):
            _panel(one, series, plot.few_points)
        for one in flat[len(shown) :]:
            one.remove()
        if plot.titled:
            figure.suptitle(plot.title, x=0.01, ha="left", fontsize=9)
        figure.supxlabel("epoch", fontsize=8.5)
    return figure


def _panel(axes: Axes, series: Series, points: int | None) -> None:
    names = list(series.records[0].curve[-1].diagnostics)
    for index, name in enumerate(names):

        def value(epoch: Epoch, name: str = name) -> float:
            return epoch.diagnostics.get(name, float("nan"))

        found, look = band(series.records, value, points), Look(index)
        every = (index, max(len(found.epochs) // 5, 1))
        axes.fill_between(found.epochs, found.low, found.high, color=look.colour, alpha=0.16, lw=0)
        axes.plot(found.epochs, found.mean, color=look.colour, ls=look.line, marker=look.marker, markevery=every)
    axes.set_title(series.panel_label)
    axes.set_gid(series.gid)
    legend(axes, axes.get_lines(), names, fontsize=7, handlelength=2.6)
