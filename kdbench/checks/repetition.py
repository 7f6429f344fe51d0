"""Checks that a training can be made again: from its seed, and from a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kdbench.checks.bench import STEPS
from kdbench.checks.case import Case
from kdbench.checks.findings import Fault
from kdbench.checks.trainee import Trainee, differing
from kdbench.store.progress import Progress
from kdbench.training.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint


def seed(case: Case) -> None:
    """The same seed gives the same weights, bit for bit, whatever global random numbers are; those are left alone."""
    advice = "draw from `batch.generator` (declare it in `needs.batch`), and in `setup` from torch alone"
    if drawn := case.first.drawn_from + case.second.drawn_from:
        raise Fault(f"a step draws from the global random numbers of {drawn[0]}", advice)
    if case.thorough:
        # Two new ones: looking on, as `first` does, makes torch add up some gradients in another order.
        one, other = (case.trainee(salt=salt) for salt in (1, 2))
        for trainee in (one, other):
            _train_epoch(trainee, 1)
        if unlike := differing(one.fingerprint(), other.fingerprint()):
            raise Fault(f"two steps from the same seed give different values of {unlike}", advice)


def state(case: Case) -> None:
    """Two steps, a checkpoint and two more give what four steps give, bit for bit."""
    resumed = case.trainee()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        _ = case.second
        save_checkpoint(path, case.main.member, Progress(run_id="conformance"))
        load_checkpoint(read_checkpoint(path), resumed.member)
    for trainee in (case.main, resumed):
        _train_epoch(trainee, 2)
    if unlike := differing(case.main.fingerprint(), resumed.fingerprint()):
        raise Fault(
            f"a resumed training gives another value of {unlike}",
            "keep what a step changes in parameters and persistent buffers (`register_buffer`), not in attributes",
        )


def _train_epoch(trainee: Trainee, epoch: int) -> None:
    for step in range(STEPS):
        trainee.step(epoch, step)
