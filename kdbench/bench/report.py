"""Results of the kernel benchmark as a table and as JSON, and the comparison of two."""

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from kdbench.bench.kernels import Result
from kdbench.errors import UserError

HEADER = (
    "operator", "size", "direction", "implementation", "median µs", "20 %", "80 %", "× reference", "samples/s", "MB",
    "GB/s", "of copy",
)  # fmt: skip
DEFAULT_BOUND = 1.2


@dataclass(frozen=True)
class Regression:
    """A measurement that has become slower than the bound allows; times in seconds."""

    label: str
    old: float
    new: float

    def __str__(self) -> str:
        return f"{self.label}: {self.old * 1e6:.1f} µs → {self.new * 1e6:.1f} µs ({self.new / self.old:.2f} ×)"


def environment(device: str | torch.device) -> dict[str, Any]:
    """What a measurement depends on: device, driver, versions, commit, command."""
    device = torch.device(device)
    cuda = device.type == "cuda"
    try:
        triton: str | None = version("triton")
    except PackageNotFoundError:
        triton = None
    return {
        "device": torch.cuda.get_device_name(device) if cuda else _processor(),
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if cuda else None,
        "threads": None if cuda else torch.get_num_threads(),
        "torch": torch.__version__,
        "triton": triton,
        "python": platform.python_version(),
        "commit": _output("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


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
            lines.append([*start, f"n/a: {row.note}", *[""] * 7])
            continue
        median, base = row.timing.median, reference.get((row.operator, row.size, row.direction, row.graph))
        times = [f"{seconds * 1e6:.1f}" for seconds in (median, row.timing.low, row.timing.high)]
        rates = [f"{row.samples / median:.3g}", f"{row.bytes / 1e6:.2f}", f"{row.bytes / median / 1e9:.1f}"]
        lines.append([*start, *times, f"{median / base:.2f}" if base else "", *rates, f"{row.share or 0:.0%}"])
    table = tabulate(lines, HEADER, tablefmt="simple", disable_numparse=True)
    return "\n".join([table, "", f"Copy bandwidth: {result.copy_bandwidth / 1e9:.1f} GB/s.", *result.left_out])


def to_json(result: Result, device: str | torch.device) -> str:
    """The result with its environment, as `compare` reads it."""
    return json.dumps({"environment": environment(device), **asdict(result)}, indent=2)


def load(path: Path) -> dict[str, Any]:
    """A saved result; raises `UserError` where the file is not one."""
    try:
        saved: dict[str, Any] = json.loads(path.read_text())
        saved["environment"]["device"]
        {_key(row): row["timing"] for row in saved["rows"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no saved result of `kdbench bench kernels --json`: {error}.") from error
    return saved


def compare(old: dict[str, Any], new: dict[str, Any], bound: float = DEFAULT_BOUND) -> list[Regression]:
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


def _output(*command: str) -> str | None:
    """The first line a command prints, or None where it cannot be had."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().split("\n")[0] or None


def _processor() -> str:
    """The processor's name as Linux gives it, else the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
