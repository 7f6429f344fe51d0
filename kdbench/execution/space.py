"""Room on disk: told before training, so that a night does not end at a full disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from kdbench.execution.footprint import Footprint
from kdbench.execution.plan import MAX_COHORT, Plan
from kdbench.inputs.errors import UserError
from kdbench.store.files import remove, write_atomically
from kdbench.store.store import Store

#: For records, tables and the page.
SPARE_BYTES = 50_000_000


def check_room(plan: Plan, store: Store, footprint: Footprint, side_by_side: int) -> None:
    """Raise `UserError` if the results folder cannot be written, or has less room than the plan is known to need.

    Counted are the weights that finished runs keep, and two checkpoints of as many runs as train at once.
    """
    probe = store.root / ".probe"
    # Twice, since there are file systems that make files and replace none.
    for _ in range(2):
        write_atomically(probe, b"kdbench")
    remove(probe)
    weights = [footprint.weights(run.student) for run in plan.to_train]
    states = [kept * run.recipe.state_copies for kept, run in zip(weights, plan.to_train, strict=True)]
    checkpoints = 2 * sum(sorted(states)[-MAX_COHORT * side_by_side :])
    needed, free = sum(weights) + checkpoints + SPARE_BYTES, free_bytes(store.root)
    if free is not None and needed > free:
        raise UserError(
            f"{store.root} has {free / 1e9:.2f} GB free, but training needs about {needed / 1e9:.2f} GB there for "
            "weights and checkpoints; make room, or give --results on another disk."
        )


def free_bytes(folder: Path) -> int | None:
    """Room that is left where a folder lies; None where the file system does not tell."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free if usage.total else None
