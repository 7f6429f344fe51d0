"""From a tracker's name to the observer."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from kdbench.inputs.errors import UserError, unknown

#: Tracker → (module, class). A module is imported when its tracker is asked for, since most need a library.
TRACKERS = {
    "csv": ("kdbench.trackers.csv", "CsvTracker"),
    "tensorboard": ("kdbench.trackers.tensorboard", "TensorBoardTracker"),
    "mlflow": ("kdbench.trackers.mlflow", "MlflowTracker"),
    "wandb": ("kdbench.trackers.wandb", "WandbTracker"),
}


def find_tracker(name: str) -> Callable[[Path], object]:
    """What makes the tracker of that name from its folder.

    Raises `UserError` for an unknown name and a library that is not installed.
    """
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    module, attribute = TRACKERS[name]
    try:
        found: Callable[[Path], object] = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise _lacks_library(name, error) from error
    return found


def make_tracker(name: str, results: Path) -> object:
    """An observer for `Registry.observing`; what it writes itself goes to `RESULTS/trackers/NAME`.

    Raises `UserError` as `find_tracker` does, and for a tracker that cannot start.
    """
    tracker = find_tracker(name)
    try:
        return tracker(results / "trackers" / name)
    except ImportError as error:
        raise _lacks_library(name, error) from error
    except Exception as error:
        raise UserError(f"tracker '{name}' could not start: {' '.join(str(error).split())}") from error


def _lacks_library(name: str, error: ImportError) -> UserError:
    return UserError(
        f"tracker '{name}' needs a library that is not installed ({error}); pip install 'kdbench[{name}]'."
    )
