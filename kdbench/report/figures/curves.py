"""Learning curves: test accuracy over the epochs, with a band over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdbench.report.figures.series import Plot, band
from kdbench.report.figures.style import beside_legend, legend, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = "Test accuracy after each epoch: mean over seeds, shaded from the lowest seed to the highest."


def draw(plot: Plot) -> Figure:
    """One line a row of the table."""
    with styled():
        figure, ((axes,),) = panels(1, 1, 6.4, beside_legend(3.3, len(plot.series)))
        for place, series in enumerate(plot.series):
            look, found = series.look, band(series.records, lambda epoch: epoch.test_top1 or 0.0, plot.points)
            if len(series.records) > 1:
                axes.fill_between(
                    found.epochs, found.low, found.high, color=look.colour, alpha=0.16, lw=0, gid=series.gid
                )
            # Markers are staggered so that no two lines carry theirs at one epoch.
            step = max(len(found.epochs) // 6, 1)
            every = (place * step // len(plot.series), step)
            axes.plot(
                found.epochs,
                found.mean,
                color=look.colour,
                ls=look.line,
                marker=look.marker,
                markevery=every,
                gid=series.gid,
            )
        axes.set(xlabel="epoch", ylabel="test accuracy, %", title=plot.title)
        axes.margins(x=0.01)
        legend(figure, axes.get_lines(), [series.label for series in plot.series], loc="outside right upper")
    return figure
