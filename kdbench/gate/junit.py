"""A check as JUnit XML, which continuous integration services show as tests."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from kdbench.gate.check import CheckedCell, Report

#: What XML 1.0 cannot hold.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> bytes:
    """One test case a cell: a failure where it has regressed, skipped where it cannot be told."""
    counts = {
        "tests": f"{len(report.cells)}",
        "failures": f"{report.count('regressed')}",
        "skipped": f"{report.count('cannot tell')}",
        "errors": "0",
    }
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "kdbench check", **counts})
    for cell in report.cells:
        _add(suite, report.baseline.grid.name, cell)
    ElementTree.indent(suites)
    document: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add(suite: ElementTree.Element, grid: str, checked: CheckedCell) -> None:
    cell = checked.cell
    name, classname = _allowed(f"{cell.row} {cell.teacher}→{cell.student}"), _allowed(f"kdbench.{grid}.{cell.table}")
    case = ElementTree.SubElement(suite, "testcase", {"classname": classname, "name": name})
    text = _allowed("; ".join(part for part in (checked.verdict.reason, checked.note) if part))
    if checked.verdict.outcome == "regressed":
        ElementTree.SubElement(case, "failure", {"type": "regressed", "message": text}).text = text
    elif checked.verdict.outcome == "cannot tell":
        ElementTree.SubElement(case, "skipped", {"message": text})
    else:
        ElementTree.SubElement(case, "system-out").text = text


def _allowed(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
