"""From records to the page's text."""

from __future__ import annotations

import datetime
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from kdbench.cells import Expansion
from kdbench.environment.versions import versions
from kdbench.registry import Registry
from kdbench.report.evidence import evidence
from kdbench.report.figures.catalogue import figures
from kdbench.report.figures.inline import StyleSheet, inline_svg
from kdbench.report.figures.series import plots
from kdbench.report.page.evidence import parts
from kdbench.report.page.provenance import declined, provenance
from kdbench.report.page.sheets import sheets
from kdbench.report.results import cell_results
from kdbench.report.words import decimals, not_comparable
from kdbench.store.records import Record
from kdbench.supervision import grouped

#: A curve on the page has at most so many points, which is what a screen shows of it.
POINTS = 48


@dataclass(frozen=True)
class Inline:
    """A figure as the page holds it."""

    kind: str
    caption: str
    svg: str
    #: The method of each row, in the order in which the figure's lines are numbered.
    methods: list[str]


def render(
    expansion: Expansion,
    records: Mapping[str, Record],
    registry: Registry,
    *,
    command: str,
    references: Sequence[str],
    with_figures: bool = True,
    watched: bool = False,
) -> str:
    """The page as one HTML document.

    `command` is what makes it again; `references` are the rows that others are compared with, the forest plots' first;
    `watched` makes the page reload itself when its server says so.
    """
    results = cell_results(expansion, records, registry)
    found = sheets(expansion, results, records)
    statistics = evidence(results, records, registry, references)
    compared = [one for one in statistics.paired if one.reference == references[0]] if references else []
    styles = StyleSheet()
    drawn: dict[tuple[str, str], list[Inline]] = {}
    if with_figures:
        shown = plots(expansion, results, records, registry, points=POINTS, titled=False)
        for number, entry in enumerate(figures(shown, compared)):
            table, pair = entry.plot.table, entry.plot.pair
            svg = inline_svg(entry.figure, f"f{number}-", html.escape(f"{entry.kind}, {pair}"), styles)
            inline = Inline(entry.kind, entry.caption, svg, [row.method for row in table.rows])
            drawn.setdefault((table.name, str(pair)), []).append(inline)
    tables = expansion.grid.tables
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            grid=expansion.grid,
            dataset=expansion.info,
            sheets=found,
            origin=provenance(expansion, records, registry),
            declined=declined(results),
            evidence=parts(statistics, expansion),
            figures=drawn,
            figure_css=styles.css,
            pairs=list(dict.fromkeys(str(pair) for table in tables for pair in table.pairs)),
            methods=grouped(dict.fromkeys(row.method for table in tables for row in table.rows), registry),
            command=command,
            made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=versions().get("kdbench", ""),
            watched=watched,
        )
    )


def _environment() -> jinja2.Environment:
    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = lambda name: (folder / name).read_text(encoding="utf-8")
    environment.filters["points"] = decimals
    environment.filters["not_comparable"] = not_comparable
    environment.filters["signed"] = lambda value: f"{value:+.2f}".replace("-", "−")
    return environment
