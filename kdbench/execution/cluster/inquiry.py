"""What a machine must have in common with the driver before it gets anything to train."""

from __future__ import annotations

import json
import platform
import socket
from dataclasses import dataclass, field
from pathlib import Path

from kdbench.environment.sources import Code
from kdbench.environment.versions import versions
from kdbench.execution.cluster.parcel import Parcel, pack
from kdbench.execution.staleness import Present, read_sources
from kdbench.plugins import load_plugins
from kdbench.registered.loaded import sentence
from kdbench.registry import Registry
from kdbench.run import NUMERIC_VERSION, Run


@dataclass(frozen=True)
class Inquiry:
    """What the driver asks: the code of `runs`, one of each kind, and the data; those of `data_sha256` it may keep."""

    runs: list[Run]
    plugin_files: tuple[Path, ...]
    dataset_spec: str
    data_dir: Path | None
    data_sha256: str


@dataclass(frozen=True)
class Answer:
    """What a machine has; `refused` says why it cannot take part."""

    host: str
    versions: dict[str, str] = field(default_factory=dict)
    numeric_version: int = NUMERIC_VERSION
    code: Code = field(default_factory=Code)
    has_data: bool = False
    refused: str | None = None


def code_of(runs: list[Run], registry: Registry) -> Code:
    """All that results of `runs` rest on by way of code."""
    read_sources(registry)
    present = Present(registry)
    return Code.union(present.code(run) for run in runs)


def kinds(runs: list[Run]) -> list[Run]:
    """One of each kind of runs that rest on the same code."""
    found: dict[tuple[str, ...], Run] = {}
    for run in runs:
        teacher = run.teacher.architecture if run.teacher else ""
        found.setdefault((run.role, run.method, json.dumps(run.params), run.student, teacher), run)
    return [*found.values()]


def answer(inquiry: Inquiry) -> tuple[Answer, Parcel | None]:
    """What this machine has, and the data if it has the right ones; what goes wrong is a reason, never an exception."""
    host = socket.gethostname()
    try:
        registry = load_plugins(inquiry.plugin_files)
        code, data = code_of(inquiry.runs, registry), _data(inquiry, registry)
        known = versions() | {"Python": platform.python_version()}
        return Answer(host, known, code=code, has_data=data is not None), data
    except Exception as error:
        return Answer(host, refused=sentence("its plugins do not load", error)), None


def _data(inquiry: Inquiry, registry: Registry) -> Parcel | None:
    """None where they are missing, others or broken: then they are sent."""
    try:
        source = registry.dataset(inquiry.dataset_spec)
        if not source.available(inquiry.data_dir):
            return None
        dataset = source.load(inquiry.data_dir)
    except Exception:
        return None
    return pack(dataset) if dataset.checksum == inquiry.data_sha256 else None


def difference(here: Code, there: Answer) -> str | None:
    """Why a machine with that answer gets nothing to train; None if it may."""
    if there.refused:
        return there.refused
    if there.numeric_version != NUMERIC_VERSION:
        return f"its kdbench has numeric version {there.numeric_version}, this one {NUMERIC_VERSION}"
    for what, ours, theirs in (
        ("other code", here.files, there.code.files),
        ("other packages", here.packages, there.code.packages),
    ):
        if differing := sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)):
            return f"it has {what} than this machine: {', '.join(differing[:3])}{' …' if len(differing) > 3 else ''}"
    return None
