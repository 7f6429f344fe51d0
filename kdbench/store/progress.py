"""How far an unfinished run has come."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from kdbench.store.records import Basis, Epoch


class Progress(BaseModel):
    """How far a run has come: the next batch is `step` of `epoch`; `curve` holds the epochs behind it.

    `basis` is what the first of these epochs rested on.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    run_id: str
    epoch: int = 1
    step: int = 0
    curve: list[Epoch] = []
    basis: Basis | None = None
    train_seconds: float = 0.0
    test_seconds: float = 0.0

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, step): members of a cohort share it."""
        return self.epoch, self.step
