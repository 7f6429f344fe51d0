"""What is measured: on which device and data, by which recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure.stages import Runner


@dataclass(frozen=True)
class Measurement:
    """One call of the script. `settings` are `--set` options of training; `plan` names what stages of hours train."""

    runner: Runner
    device: str
    dataset: str
    settings: list[str]
    plan: Path

    @property
    def bench(self) -> Path:
        """Where benchmarks leave their JSON."""
        return self.runner.folder / "bench"

    @property
    def results(self) -> Path:
        """Where records, checkpoints and weights lie."""
        return self.runner.folder / "results"
