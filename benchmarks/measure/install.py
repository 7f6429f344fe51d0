"""What this Python lacks, put beside it from wheels; and what the measurement was made with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure.stages import Runner

FOUND = "from importlib.util import find_spec; print(find_spec('kdbench_methods').origin)"


def install(runner: Runner, wheels: Path) -> None:
    """Make kdbench importable for every command of `runner`. Ends the process where that cannot be done."""
    found = subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True)
    if found.stdout.startswith(f"{Path.cwd()}/"):
        return
    # Into a folder rather than a virtual environment, which would not see the packages of one that it is made within.
    site = runner.folder / "site"
    runner.variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    made = runner.folder / "done" / "install"
    if made.exists():
        return
    shutil.rmtree(site, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    steps = [[*pip, "--no-build-isolation", "--upgrade", "."]]
    if packages := sorted(map(str, wheels.glob("*.whl"))):
        steps.insert(0, [*pip, *packages])
    for step in steps:
        if subprocess.run(step).returncode:
            sys.exit("measure_gpu.sh: kdbench cannot be installed; --wheels names a folder with what pip misses above.")
    made.touch()


def describe(file: Path, command: str, commit: str) -> None:
    """Device, driver, versions, commit and command of this call, at the end of `file`."""
    smi = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv"]
    lines = [
        f"command: {command}",
        f"begun: {datetime.now(UTC):%Y-%m-%d %H:%M UTC}",
        _said(*smi) or "no nvidia-smi",
        f"commit: {commit or _said('git', 'rev-parse', 'HEAD') or 'not a checkout'}",
        f"{platform.platform()}, Python {platform.python_version()}",
        _said(sys.executable, "-m", "pip", "list"),
    ]
    with file.open("a") as opened:
        opened.write("\n".join([*lines, "", ""]))


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
