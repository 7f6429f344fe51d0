"""Results of the kernel benchmark as a table and as JSON, and the comparison of two."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from kdbench.bench.kernels import Result
from kdbench.environment.summary import environment
from kdbench.inputs.commands import command_line
from kdbench.inputs.errors import UserError

HEADER = (
    "operator", "size", "direction", "implementation", "median µs", "20 %", "80 %", "× reference", "samples/s", "MB",
    "GB/s", "of copy", "scratch MB",
)  # fmt: skip


@dataclass(frozen=True)
class Regression:
    """A measurement that has become slower than the bound allows; times in seconds."""

    label: str
    old: float
    new: float

    def __str__(self) -> str:
        return f"{self.label}: {self.old * 1e6:.1f} µs → {self.new * 1e6:.1f} µs ({self.new / self.old:.2f} ×)"


def measured_on(device: str | torch.device) -> dict[str, Any]:
    """What a measurement depends on: device, driver, versions, commit, and the command that took it."""
    return {**environment(torch.device(device)), "command": command_line()}


def render(result: Result) -> str:
    """The table, the copy bandwidth it is related to, and what was left out."""
    reference = {
        (row.operator, row.size, row.direction, row.graph): row.timing.median
        for row in result.rows
        if row.implementation == "reference" and row.timing
    }
    lines = []
    for row in result.rows:
        name = f"{row.implementation} (graph)" if row.graph else row.implementation
        start = [row.operator, row.size, row.direction, name]
        if row.timing is None:
            lines.append([*start, f"n/a: {row.note}", *[""] * 8])
            continue
        median, base = row.timing.median, reference.get((row.operator, row.size, row.direction, row.graph))
        times = [f"{seconds * 1e6:.1f}" for seconds in (median, row.timing.low, row.timing.high)]
        rates = [f"{row.samples / median:.3g}", f"{row.bytes / 1e6:.2f}", f"{row.bytes / median / 1e9:.1f}"]
        times.append(f"{median / base:.2f}" if base else "")
        scratch = "" if row.scratch is None else f"{row.scratch / 1e6:.2f}"
        lines.append([*start, *times, *rates, f"{row.share or 0:.0%}", scratch])
    table = tabulate(lines, HEADER, tablefmt="simple", disable_numparse=True)
    return "\n".join([table, "", f"Copy bandwidth: {result.copy_bandwidth / 1e9:.1f} GB/s.", *result.left_out])


def to_json(result: Result, device: str | torch.device) -> str:
    """The result with its environment, as `compare` reads it."""
    return json.dumps({"environment": measured_on(device), **asdict(result)}, indent=2)


def load(path: Path) -> dict[str, Any]:
    """A saved result; raises `UserError` where the file is not one."""
    try:
        saved: dict[str, Any] = json.loads(path.read_text())
        saved["environment"]["device"]
        {_key(row): row["timing"] for row in saved["rows"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no saved result of `kdbench bench kernels --json`: {error}.") from error
    return saved


def compare(old: dict[str, Any], new: dict[str, Any], bound: float) -> list[Regression]:
    """Measurements whose median is more than `bound` × the old one, the worst first.

    What only one of the results has is skipped.
    Raises `UserError` for results of different devices or thread counts, which say nothing about each other.
    """
    for what in ("device", "threads"):
        ours, theirs = new["environment"].get(what), old["environment"].get(what)
        if ours != theirs:
            raise UserError(f"results of different {what} cannot be compared: {theirs} before, {ours} now.")
    before = {_key(row): row["timing"] for row in old["rows"]}
    found = []
    for row in new["rows"]:
        timing, base = row["timing"], before.get(_key(row))
        if timing and base and timing["median"] > bound * base["median"]:
            found.append(Regression(_label(row), base["median"], timing["median"]))
    return sorted(found, key=lambda regression: regression.old / regression.new)


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("operator", "size", "implementation", "direction", "graph"))


def _label(row: dict[str, Any]) -> str:
    graph = " in a graph" if row["graph"] else ""
    return f"{row['operator']} {row['size']} {row['implementation']} {row['direction']}{graph}"
