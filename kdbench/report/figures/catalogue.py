"""Which figures a grid has."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdbench.report.figures import cost, curves, diagnostics, forest, terms
from kdbench.report.figures.kinds import KINDS
from kdbench.report.figures.series import Plot
from kdbench.report.paired import PairedComparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Entry:
    """One figure of one table and pair."""

    kind: str
    plot: Plot
    caption: str
    figure: Figure

    @property
    def name(self) -> str:
        """What its file is called, without suffix."""
        return f"{self.plot.table.name}-{self.plot.pair.teacher}-{self.plot.pair.student}-{self.kind}"


def figures(plots: list[Plot], compared: list[PairedComparison], kinds: Collection[str] = KINDS) -> Iterator[Entry]:
    """Every figure of these plots; those that have nothing to show are left out. `compared` fills the forests."""
    drawn: dict[str, tuple[str, Callable[[Plot], Figure | None]]] = {
        "curves": (curves.CAPTION, curves.draw),
        "forest": (forest.CAPTION, functools.partial(forest.draw, compared=compared)),
        "cost": (cost.CAPTION, cost.draw),
        "terms": (terms.CAPTION, terms.draw),
        "diagnostics": (diagnostics.CAPTION, diagnostics.draw),
    }
    for plot in plots:
        for kind in (kind for kind in KINDS if kind in kinds):
            caption, draw = drawn[kind]
            figure = draw(plot)
            if figure is not None:
                lost = f" Drawn {terms.left_out(plot.unweighted)}." if kind == "terms" and plot.unweighted else ""
                yield Entry(kind, plot, caption + lost, figure)
