"""What was measured beside what is aimed at, as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Students an hour of a cohort of eight over those of the plain and of the good loop; seconds of the step of student,
#: KD and DSKD; share of a copy's bandwidth beyond the caches; seconds of the pair of losses in a replayed graph.
OVER_PLAIN, OVER_GOOD, STEP, SHARE, PAIR = 20.0, 3.0, 4e-3, 0.85, 10e-6


def judged(folder: Path) -> str:
    """A line for each figure that the JSON in `folder` gives."""
    lines = [*_checks(_read(folder / "checks.json")), *_train(_read(folder / "train-bf16.json"))]
    lines += [*_kernels(_read(folder / "kernels-1.json")), *_pace(_read(folder / "pace.json"))]
    return "\n".join(lines or ["nothing has been measured yet"])


def _read(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _checks(found: dict[str, Any]) -> Iterator[str]:
    for name, part in found.items():
        yield f"check {name}: {'fine' if part['ok'] else part['found']} ({part['seconds']:.1f} s)"


def _train(found: dict[str, Any]) -> Iterator[str]:
    for row in found.get("rows", []):
        if row["name"] == "cohort of 8":
            yield _line("students an hour over the plain loop's", 1 / row["of_plain"], OVER_PLAIN, "×")
            yield _line("students an hour over the good loop's", 1 / row["of_good"], OVER_GOOD, "×")


def _kernels(found: dict[str, Any]) -> Iterator[str]:
    for row in found.get("rows", []):
        if row["implementation"] != "triton" or row["direction"] != "both" or not row["graph"] or not row["timing"]:
            continue
        name = f"{row['operator']} {row['size']}"
        if row["operator"] == "deep_kd+deep_mse":
            yield _line(f"{name} in a graph", row["timing"]["median"] * 1e6, PAIR * 1e6, "µs", most=True)
        elif row["operator"].startswith("deep") and row["samples"] > 1000:
            yield _line(f"{name}, of copy bandwidth", 100 * row["share"], 100 * SHARE, "%")


def _pace(found: dict[str, Any]) -> Iterator[str]:
    if step := found.get("step_seconds"):
        yield _line("step of student + KD + DSKD", step["together"] * 1e3, STEP * 1e3, "ms", most=True)
        yield f"step of the teacher: {step['teacher'] * 1e3:.3g} ms; recipe {found.get('recipe', 'not chosen')}"


def _line(what: str, value: float, aim: float, unit: str, *, most: bool = False) -> str:
    met = value <= aim if most else value >= aim
    sign = "at most" if most else "at least"
    return f"{what}: {value:.3g} {unit}, aimed at {sign} {aim:g} {unit}: {'met' if met else 'MISSED'}"
