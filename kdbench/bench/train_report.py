"""Results of the training benchmark as tables and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch
from tabulate import tabulate

from kdbench.bench.report import measured_on
from kdbench.bench.train import Result

HEADER = (
    "way", "students", "ms/step", "20 %", "80 %", "CPU ms", "× plain", "× plain (CPU)", "× good", "images/s",
    "students/h", "GFLOP/s", "of peak",
)  # fmt: skip


def render(result: Result) -> str:
    """The table, and what its numbers are related to."""
    lines = []
    for row in result.rows:
        rate = row.flops / row.wall.median
        lines.append(
            [
                row.name,
                row.students,
                *(f"{seconds * 1e3:.1f}" for seconds in (row.wall.median, row.wall.low, row.wall.high)),
                f"{row.busy.median * 1e3:.1f}",
                f"{row.of_plain:.2f}",
                f"{row.busy_of_plain:.2f}",
                f"{row.of_good:.2f}",
                f"{row.students * result.batch_size / row.wall.median:.4g}",
                f"{row.students_per_hour(result.steps_of_a_run):.3g}",
                f"{rate / 1e9:.4g}",
                f"{rate / result.peak:.0%}",
            ]
        )
    return "\n".join(
        [
            tabulate(lines, HEADER, tablefmt="simple", disable_numparse=True),
            "",
            f"{result.pair}, batch {result.batch_size}; plain loop in fp32, the others in {result.precision}. × are "
            "times over those of the same students in the plain or good loop, one run after the other.",
            f"Peak: {result.peak / 1e9:.4g} GFLOP/s in a large {result.precision} matrix product or convolution.",
            f"One checkpoint of each student of the cohort of {result.checkpoint_members} takes "
            f"{result.checkpoint_seconds * 1e3:.0f} ms, {result.checkpoint_share:.2%} of training at the default "
            "interval.",
            *result.notes,
        ]
    )


def to_json(result: Result, device: torch.device) -> str:
    """The result with its environment."""
    return json.dumps({"environment": measured_on(device), **asdict(result)}, indent=2)
