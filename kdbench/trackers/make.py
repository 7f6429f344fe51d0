"""From a tracker's name to the observer."""

from __future__ import annotations

import importlib
from pathlib import Path

from kdbench.inputs.errors import UserError, unknown

#: Tracker → (module, class). A module is imported when its tracker is asked for, since most need a library.
TRACKERS = {
    "csv": ("kdbench.trackers.csv", "CsvTracker"),
    "tensorboard": ("kdbench.trackers.tensorboard", "TensorBoardTracker"),
    "mlflow": ("kdbench.trackers.mlflow", "MlflowTracker"),
    "wandb": ("kdbench.trackers.wandb", "WandbTracker"),
}


def make_tracker(name: str, results: Path) -> object:
    """An observer for `Registry.observing`; what it writes itself goes to `RESULTS/trackers/NAME`.

    Raises `UserError` for an unknown name, a library that is not installed, and a tracker that cannot start.
    """
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    module, attribute = TRACKERS[name]
    try:
        tracker = getattr(importlib.import_module(module), attribute)
        made: object = tracker(results / "trackers" / name)
    except ImportError as error:
        raise UserError(
            f"tracker '{name}' needs a library that is not installed ({error}); pip install 'kdbench[{name}]'."
        ) from error
    except Exception as error:
        raise UserError(f"tracker '{name}' could not start: {' '.join(str(error).split())}") from error
    return made
