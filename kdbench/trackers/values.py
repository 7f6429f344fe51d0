"""What trackers log of a run and its epochs."""

from __future__ import annotations

from typing import Any

from kdbench.run import Run
from kdbench.store.records import Epoch


def metrics(epoch: Epoch) -> dict[str, float]:
    """An epoch's numbers by name, those it does not have left out."""
    found = {name: getattr(epoch, name) for name in ("lr", "loss", "test_top1", "test_top5", "test_loss")}
    found |= {f"terms/{name}": value for name, value in epoch.terms.items()}
    found |= {f"diagnostics/{name}": value for name, value in epoch.diagnostics.items()}
    return {name: value for name, value in found.items() if value is not None}


def settings(run: Run) -> dict[str, Any]:
    """What a run was, flat: names, seed, method parameters and recipe."""
    found: dict[str, Any] = {
        "run": run.id,
        "role": run.role,
        "dataset": run.dataset,
        "teacher": run.teacher.architecture if run.teacher else None,
        "student": run.student,
        "method": run.method,
        "seed": run.seed,
    }
    found |= {f"params.{name}": value for name, value in run.params.items()}
    return found | {f"recipe.{name}": value for name, value in run.recipe.model_dump(mode="json").items()}
