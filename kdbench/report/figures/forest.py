"""Forest plot: each row's paired difference to a reference row, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdbench.report.figures.series import Plot, Series
from kdbench.report.figures.style import INK, panels, styled
from kdbench.report.paired import PairedComparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CAPTION = (
    "Difference of last epochs' accuracies to the reference, paired by seed: dots are seeds, the large mark their mean "
    "with its 95 % t interval. Filled: separated from zero after Holm's correction over the table. An arrow: the "
    "interval reaches beyond the frame."
)


def draw(plot: Plot, compared: list[PairedComparison]) -> Figure | None:
    """One line a row of the table that is compared with the reference; None if there is none."""
    found = {one.cell.row.key: one for one in compared if one.cell.table == plot.table and one.cell.pair == plot.pair}
    shown = [(series, one) for series in plot.series if (one := found.get(series.result.cell.row.key))]
    if not shown:
        return None
    # An interval over two or three seeds may be tens of points wide: the frame follows the seeds instead.
    reach = 2.2 * max(0.25, *(abs(value) for _, one in shown for value in one.differences))
    with styled():
        figure, ((axes,),) = panels(1, 1, 6.4, 0.9 + 0.25 * len(shown))
        axes.axvline(0, color=INK, lw=0.8)
        for place, (series, one) in enumerate(shown):
            _line(axes, series, one, place, reach)
        axes.set_yticks(range(len(shown)), [f"{series.label} ({len(one.seeds)})" for series, one in shown])
        axes.set(xlim=(-reach, reach), ylim=(len(shown) - 0.5, -0.5), title=plot.title)
        axes.set_xlabel(f"accuracy minus that of {shown[0][1].reference}, points (n seeds)")
        axes.grid(axis="y", visible=False)
    return figure


def _line(axes: Axes, series: Series, one: PairedComparison, place: int, reach: float) -> None:
    look, interval = series.look, one.interval
    style: Any = {"color": look.colour, "gid": series.gid}
    axes.plot(one.differences, [place] * len(one.differences), "o", ms=2.5, alpha=0.6, **style)
    if interval:
        axes.plot([max(interval.low, -reach), min(interval.high, reach)], [place, place], **style)
        for end, mark, beyond in ((-reach, "<", interval.low < -reach), (reach, ">", interval.high > reach)):
            if beyond:
                axes.plot(end, place, mark, ms=5, clip_on=False, **style)
    inside = look.colour if one.separated else "white"
    axes.plot(one.estimate.mean, place, look.marker, ms=6, mfc=inside, **style)
