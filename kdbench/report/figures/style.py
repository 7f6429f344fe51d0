"""How every figure looks: colours that colour-blind readers tell apart, and a marker and a line for black and white."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdbench.report.figures.kinds import Format
from kdbench.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Text and axes; rules; and Paul Tol's "muted" colours, which colour-blind readers tell apart.
INK, RULE = "#16181d", "#d6d9df"
COLOURS = ("#332288", "#cc6677", "#117733", "#88ccee", "#999933", "#aa4499", "#44aa99", "#ddcc77", "#882255")
MARKERS = "os^DvX<P"
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)))


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one series; no two of the first 360 share all three."""

    index: int

    @property
    def colour(self) -> str:
        """One of `COLOURS`."""
        return COLOURS[self.index % len(COLOURS)]

    @property
    def marker(self) -> str:
        """One of `MARKERS`."""
        return MARKERS[self.index % len(MARKERS)]

    @property
    def line(self) -> Any:
        """One of `LINES`."""
        return LINES[self.index % len(LINES)]


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside it. Text stays text in SVG, and equal figures give equal files."""
    import matplotlib
    from cycler import cycler

    settings: Any = {
        "font.size": 8.5,
        "axes.titlesize": 9,
        "axes.labelsize": 8.5,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "axes.titlelocation": "left",
        "axes.prop_cycle": cycler(color=COLOURS),
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "figure.constrained_layout.use": True,
        # Names come from plugins and files: a dollar sign in one is no formula.
        "text.parse_math": False,
        "savefig.transparent": True,
        "svg.fonttype": "none",
        "svg.hashsalt": "kdbench",
        "path.simplify_threshold": 0.2,
    }
    with matplotlib.rc_context(settings):
        yield


def panels(rows: int, columns: int, width: float, height: float, **sharing: Any) -> tuple[Figure, list[list[Axes]]]:
    """A figure of `rows` × `columns` panels, each `width` × `height` inches. Belongs to nobody but the caller."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows))
    axes = figure.subplots(rows, columns, squeeze=False, **sharing)
    return figure, [list(row) for row in axes]


def beside_legend(height: float, rows: int) -> float:
    """The height of a figure with a legend of so many rows at its side, at least `height`, in inches."""
    return max(height, 0.3 + 0.17 * rows)


def legend(owner: Axes | Figure, handles: Sequence[Any], labels: Sequence[str], **placing: Any) -> None:
    """A legend of all `handles`, whatever their labels."""
    # Written afterwards: matplotlib leaves out what begins with `_`, below 3.10 even if it is asked for by name.
    texts = owner.legend(handles, ["…"] * len(labels), **placing).get_texts()
    for text, label in zip(texts, labels, strict=True):
        text.set_text(label)


def save(figure: Figure, path: Path, format: Format) -> None:
    """Write one figure, PNG at 200 dpi on white. Raises `UserError` where the disk refuses."""
    drawn = io.BytesIO()
    with styled():
        if format == "png":
            figure.savefig(drawn, format="png", dpi=200, facecolor="white", transparent=False)
        else:
            figure.savefig(drawn, format="svg", metadata={"Date": None})
    write_atomically(path, drawn.getvalue())
