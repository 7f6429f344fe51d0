"""The distribution over samples of what a method tells of each: one histogram a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kdbench.report.figures.style import INK, Look, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 60


def draw(values: Mapping[str, np.ndarray], title: str) -> Figure:
    """A panel a name; all panels share one axis, so that they can be compared. The line marks the mean."""
    everything = np.concatenate([*values.values()])
    edges = np.histogram_bin_edges(everything, bins=_BINS)
    columns = min(len(values), 2)
    rows = -(-len(values) // columns)
    with styled():
        figure, axes = panels(rows, columns, 3.2, 2.0, sharex=True, sharey=True)
        flat = [one for row in axes for one in row]
        for index, (one, (name, found)) in enumerate(zip(flat, values.items(), strict=False)):
            one.hist(found, bins=edges.tolist(), color=Look(index).colour, alpha=0.85, lw=0)
            one.axvline(found.mean(), color=INK, lw=1, ls=(0, (4, 2)))
            one.set_title(f"{name}: mean {found.mean():.3f}, std {found.std(ddof=1):.3f}")
        for row in axes:
            row[0].set_ylabel("samples")
        for one in flat[len(values) :]:
            one.remove()
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure
