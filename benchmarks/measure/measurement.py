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

    def sets(self, *defaults: str) -> list[str]:
        """The `--set` options: those given, and of `defaults` those whose key is not among them."""
        keys = {_key(setting) for setting in self.settings}
        kept = [default for default in defaults if _key(default) not in keys]
        return [word for setting in (*kept, *self.settings) for word in ("--set", setting)]


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()
