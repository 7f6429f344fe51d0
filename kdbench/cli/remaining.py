"""How long training still takes, by what this command has done so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from kdbench.inputs.wording import duration
from kdbench.run import Run


class Remaining:
    """An estimate of the time that is left: operations left, at the rate of those done since the first run began.

    `work` holds the operations of each run's epoch, by run id, the cohort's teacher pass shared out. Epochs that were
    trained before this command, and those that a failed run does not reach, are no work of it. What is said never
    rises: where training has become slower than it was, it is said that more is left than was thought.
    """

    def __init__(self, work: Mapping[str, float], epochs: Mapping[str, int], clock: Callable[[], float] | None = None):
        self._work = work
        self._left = {run_id: epochs[run_id] for run_id in work}
        #: Epochs that are left of all runs; thousands of them change it one by one, and their operations.
        self.epochs = sum(self._left.values())
        self._operations = sum(epochs * work[run_id] for run_id, epochs in self._left.items())
        self._clock = clock or time.monotonic
        self._began: float | None = None
        self._done = 0.0
        self._said = math.inf

    def run_started(self, run: Run) -> None:
        """Training has begun: the clock runs."""
        self._began = self._clock() if self._began is None else self._began

    def epoch_ended(self, run: Run, epoch: int) -> None:
        """One more epoch is done; those before the first that is seen were done by another command."""
        if run.id in self._left:
            self._leave(run.id, run.recipe.epochs - epoch)
            self._done += self._work[run.id]

    def run_ended(self, run: Run) -> None:
        """Nothing is left of a run, however it ended."""
        if run.id in self._left:
            self._leave(run.id, 0)

    def _leave(self, run_id: str, epochs: int) -> None:
        self.epochs += epochs - self._left[run_id]
        self._operations += (epochs - self._left[run_id]) * self._work[run_id]
        self._left[run_id] = epochs

    def said(self) -> str | None:
        """What is left, in words; None where nothing is, or nothing was measured."""
        if self._began is None or not self._done or not self.epochs:
            return None
        seconds = (self._clock() - self._began) * self._operations / self._done
        if seconds > 1.1 * self._said:
            return f"over {duration(_rounded(self._said))} left"
        self._said = min(self._said, seconds)
        return f"about {duration(_rounded(self._said))} left"


def _rounded(seconds: float) -> float:
    """Whole seconds, or minutes of what takes minutes: an estimate is no finer."""
    return max(1.0, round(seconds)) if seconds < 120 else 60.0 * round(seconds / 60)
