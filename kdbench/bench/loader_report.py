"""Results of the benchmark of reading as a table and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch
from tabulate import tabulate

from kdbench.bench.loader import SIDE, Result
from kdbench.bench.report import measured_on

HEADER = (
    "way", "students", "s/pass", "20 %", "80 %", "images/s", "students/h", "× field", "CPU s", "× field",
    "readers' CPU s", "× field",
)  # fmt: skip
#: Images that a student sees in the field's training on ImageNet: 100 epochs of 1,281,167.
IMAGES_OF_A_RUN = 128_116_700


def render(result: Result) -> str:
    """The table, and what its numbers are of."""
    lines = []
    for row in result.rows:
        rate = result.images / row.wall.median
        seconds = (f"{value:.2f}" for value in (row.wall.median, row.wall.low, row.wall.high))
        hourly = f"{row.students * rate * 3600 / IMAGES_OF_A_RUN:.3g}" if row.students else ""
        given = [f"{row.of_field:.2f}", f"{row.busy.median:.2f}", f"{row.busy_of_field:.2f}"]
        given += [f"{row.reading.median:.2f}", f"{row.reading_of_field:.2f}"]
        lines.append([row.name, row.students or "", *seconds, f"{rate:.0f}", hourly, *given])
    size = result.megabytes * 1e3 / result.images
    return "\n".join(
        [
            tabulate(lines, HEADER, tablefmt="simple", disable_numparse=True),
            "",
            f"{result.images:,} images of {size:.0f} kB, to {SIDE}×{SIDE} pixels, in batches of "
            f"{result.batch_size}, read by {result.readers} processes. images/s are decoded; a student takes "
            f"{IMAGES_OF_A_RUN:,}, ImageNet's 100 epochs. × are images that students are given over those of the "
            "field's loader, or loop, for one: in a second, in one of all processors' time, and in one of those that "
            "read, which alone decides beside a GPU.",
        ]
    )


def to_json(result: Result, device: torch.device) -> str:
    """The result with its environment."""
    return json.dumps({"environment": measured_on(device), **asdict(result)}, indent=2)
