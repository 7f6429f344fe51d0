"""A check in words."""

from __future__ import annotations

from tabulate import tabulate

from kdbench.gate.check import CheckedCell, Report
from kdbench.report.words import spread


def text(report: Report) -> str:
    """A table of all cells, then a sentence for each that has regressed, what else has changed, the count."""
    header = ["cell", "baseline", "now", "difference", "bounds", "verdict", "seeds needed"]
    rows = [_row(cell) for cell in report.cells]
    lines = [tabulate(rows, headers=header, tablefmt="simple", disable_numparse=True), ""]
    for cell in report.cells:
        if cell.verdict.outcome == "regressed":
            lines.append(f"regressed: {cell.cell.title}: {cell.verdict.reason}")
        if cell.note:
            lines.append(f"note: {cell.cell.title}: {cell.note}")
    if report.surroundings:
        lines.append(f"note: since the baseline: {report.surroundings}")
    if report.count("cannot tell"):
        lines.append(
            "cannot tell: the seeds differ too much for so few; with the seeds needed, a cell that has not changed "
            "would pass with probability 0.8"
        )
    level = 100 * (1 - report.alpha)
    lines.append(
        f"{report.count('pass')} pass, {report.count('regressed')} regressed, {report.count('cannot tell')} cannot be "
        f"told; margin {report.margin:g} points, each bound one-sided at {level:g} %, last epoch's accuracy"
    )
    return "\n".join(lines)


def _row(checked: CheckedCell) -> list[str]:
    verdict = checked.verdict
    change = f"{verdict.difference.mean:+.2f}" if verdict.difference else "–"
    bounds = "–" if verdict.low is None or verdict.high is None else f"[{verdict.low:+.2f}, {verdict.high:+.2f}]"
    outcome = [verdict.outcome, verdict.needed or ""]
    return [checked.cell.title, spread(checked.old), spread(checked.new), change, bounds, *outcome]
