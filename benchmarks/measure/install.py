"""What this Python lacks, put beside it from wheels; and what the measurement was made with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tomllib
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
    done = runner.folder / "done" / "install"
    if done.exists():
        return
    shutil.rmtree(site, ignore_errors=True)
    link_tree(Path.cwd(), site)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    if (packages := sorted(map(str, wheels.glob("*.whl")))) and subprocess.run([*pip, *packages]).returncode:
        sys.exit(f"measure_gpu.sh: what lies in {wheels} cannot be installed; pip says above why.")
    done.touch()


def link_tree(tree: Path, site: Path) -> None:
    """Have `site` hold the tree's packages as links, and its entry points: an editable installation, without building.

    That takes setuptools of some version and half a minute, neither of which need be there.
    """
    project = tomllib.loads((tree / "pyproject.toml").read_text())
    site.mkdir(parents=True)
    for name, folder in project["tool"]["setuptools"]["package-dir"].items():
        (site / name).symlink_to(tree / folder)
    name, version = project["project"]["name"], project["project"]["version"]
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in project["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))


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
