"""Accuracy against what training took."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from kdbench.report.figures.series import Plot
from kdbench.report.figures.style import beside_legend, legend, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "Last epoch's test accuracy against the seconds of training that one student took (in a cohort its share, the same "
    "for all members); bars are ± the sample std over seeds."
)


def draw(plot: Plot) -> Figure | None:
    """One point a row of the table. None if no run has a cost."""
    shown = [(series, [r.cost.train_seconds for r in series.records if r.cost]) for series in plot.series]
    shown = [(series, seconds) for series, seconds in shown if seconds]
    if not shown:
        return None
    devices = sorted({str(r.environment.get("device", "?")) for series, _ in shown for r in series.records})
    with styled():
        figure, ((axes,),) = panels(1, 1, 6.4, beside_legend(3.0, len(shown)))
        for series, seconds in shown:
            look, accuracy = series.look, series.result.last
            bars = axes.errorbar(
                statistics.fmean(seconds),
                accuracy.mean or 0.0,
                xerr=statistics.stdev(seconds) if len(seconds) > 1 else None,
                yerr=accuracy.std,
                color=look.colour,
                marker=look.marker,
                ms=6,
                lw=0,
                elinewidth=0.9,
            )
            for artist in bars.get_children():
                artist.set_gid(series.gid)
        axes.set(xlabel=f"training seconds a student, on {' and '.join(devices)}", ylabel="test accuracy, %")
        axes.set_title(plot.title)
        legend(figure, axes.containers, [series.label for series, _ in shown], loc="outside right upper")
    return figure
