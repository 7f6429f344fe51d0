"""Where every number of the page comes from: runs, teachers, methods' sources, machines, papers; and what has none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kdbench.cells import Expansion, distinct
from kdbench.paper import PaperTable, load_paper_table
from kdbench.registry import Registry
from kdbench.report.results import CellResult
from kdbench.run import Run
from kdbench.store.records import Record


@dataclass
class RunLine:
    """A run and its record, which may be missing. The numbers point into `Provenance`'s lists."""

    run: Run
    record: Record | None
    machine: str = ""
    source: str = ""

    @property
    def status(self) -> str:
        """How it ended."""
        return self.record.status if self.record else "not run"

    @property
    def name(self) -> str:
        """The method, with the parameters that tell its variants apart left to the cell."""
        return self.run.method if self.run.role == "student" else self.run.title


@dataclass
class Provenance:
    """All of it. `machines` and `sources` map what is common to many records to a short name."""

    runs: list[RunLine]
    machines: dict[str, str]
    sources: dict[str, str]
    papers: dict[str, PaperTable]
    datasets: list[str]
    commands: dict[str, int]

    @property
    def failures(self) -> list[RunLine]:
        """Runs that have a record and no result."""
        return [line for line in self.runs if line.record and line.record.failure]

    def count(self, status: str) -> int:
        """Number of student runs in this state."""
        return sum(line.status == status and line.run.role == "student" for line in self.runs)


def provenance(expansion: Expansion, records: Mapping[str, Record], registry: Registry) -> Provenance:
    """Everything that the grid's numbers rest on."""
    students = distinct(run for cell in expansion.cells for run in cell.runs)
    teachers = distinct(run.teacher.trained_by for run in students if run.teacher and run.teacher.trained_by)
    pre_stages = distinct(run.pre_stage for run in students if run.pre_stage)
    lines = [RunLine(run, records.get(run.id)) for run in [*teachers, *pre_stages, *students]]
    machines: dict[str, str] = {}
    sources: dict[str, str] = {}
    commands: dict[str, int] = {}
    for line in lines:
        if line.record:
            line.machine = machines.setdefault(_machine(line.record), f"M{len(machines) + 1}")
            line.source = sources.setdefault(_source(line.record), f"C{len(sources) + 1}")
            commands[line.record.command] = commands.get(line.record.command, 0) + 1
    tables = [table.paper for table in expansion.grid.tables if table.paper]
    return Provenance(
        runs=lines,
        machines=machines,
        sources=sources,
        papers={name: load_paper_table(name, registry) for name in tables},
        datasets=sorted({f"{r.run.dataset}, sha256 {r.data_sha256}" for line in lines if (r := line.record)}),
        commands=commands,
    )


def declined(results: list[CellResult]) -> list[str]:
    """One sentence for each cell whose method is out of reach of its pair."""
    return [f"{r.cell.label} on {r.cell.pair}: {r.cell.declined}" for r in results if r.cell.declined]


def _machine(record: Record) -> str:
    found = record.environment
    packages = ", ".join(f"{name} {version}" for name, version in sorted(dict(found.get("packages", {})).items()))
    commit = found.get("commit") or "none"
    rest = {k: v for k, v in found.items() if k not in ("packages", "commit", "device", "python", "platform")}
    more = f"; {json.dumps(rest)}" if rest else ""
    where = f"{found.get('device')}; Python {found.get('python')}; {found.get('platform')}"
    return f"{where}; {packages}; commit {commit}{more}"


def _source(record: Record) -> str:
    source = record.source
    return f"{source.module} ({source.distribution} {source.version}), sha256 {source.sha256}"
