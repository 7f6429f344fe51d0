"""Findings of the conformance suite as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from tabulate import tabulate

from kdbench.checks.findings import Finding, Status
from kdbench.checks.suite import CHECKS

#: What a cell shows, and the worst first: a cell stands for all pairs.
MARKS: dict[Status, str] = {
    "failed": "FAIL",
    "not reached": "?",
    "opted out": "opt-out",
    "passed": "ok",
    "declined": "declined",
    "not applicable": "-",
}
#: What tabulate adds to a header beside the two spaces between columns.
PADDING = 2
MEANINGS: dict[Status, str] = {
    "not reached": "not reached, because another check failed",
    "opted out": "the method declares that it cannot",
    "declined": "the method declines all pairs looked at",
    "not applicable": "does not apply to this method",
}


def text(findings: Sequence[Finding], width: int) -> str:
    """Checks down, methods across, in as many tables as `width` asks for; what marks mean; each failure once."""
    return "\n\n".join([*_tables(findings, width), *_failures(findings)])


def _tables(findings: Sequence[Finding], width: int) -> Iterator[str]:
    """Checks down and methods across, in as many tables as the width asks for; then what the marks mean."""
    methods = list(dict.fromkeys(finding.method for finding in findings))
    columns = {method: [_mark(findings, method, check) for check in CHECKS] for method in methods}
    room = width - max(map(len, CHECKS))
    while columns:
        chosen: list[str] = []
        used = 0
        for method, cells in columns.items():
            used += 2 + max(len(method) + PADDING, *map(len, cells))
            if chosen and used > room:
                break
            chosen.append(method)
        rows = zip(CHECKS, *(columns.pop(method) for method in chosen), strict=True)
        yield tabulate(rows, headers=["", *chosen], tablefmt="simple", disable_numparse=True)
    used_marks = {finding.status for finding in findings}
    if legend := [f"{MARKS[status]}  {text}" for status, text in MEANINGS.items() if status in used_marks]:
        yield "\n".join(legend)


def _mark(findings: Sequence[Finding], method: str, check: str) -> str:
    statuses = {finding.status for finding in findings if (finding.method, finding.check) == (method, check)}
    return next((mark for status, mark in MARKS.items() if status in statuses), "")


def _failures(findings: Sequence[Finding]) -> Iterator[str]:
    """Each failure once, with the pairs that it shows on."""
    failed = [finding for finding in findings if finding.status == "failed"]
    by_place = sorted(failed, key=_failure)
    for (method, check, reason, advice), group in groupby(by_place, key=_failure):
        pairs = [finding.pair for finding in group]
        more = f" and {len(pairs) - 1} more pairs" if len(pairs) > 1 else ""
        yield f"{method}: {check} failed on {pairs[0]}{more}\n  reason: {reason}\n  advice: {advice}"


def _failure(finding: Finding) -> tuple[str, str, str, str]:
    return finding.method, finding.check, finding.reason, finding.advice
