"""Records of runs that were never made, with curves that look like training."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

from kdbench.cells import Expansion, distinct
from kdbench.plugins import load_plugins
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.selection import Selection, load_grid
from kdbench.store.records import Cost, Epoch, Failure, Record, Source
from tests.support import present_basis

#: Of every run, so that a teacher's are those that its students' records name.
WEIGHTS = "ab" * 32

ENVIRONMENT = {
    "packages": {"kdbench": "0.1.0", "torch": "2.11.0", "numpy": "2.2.0"},
    "python": "3.12.1",
    "platform": "Linux",
    "device": "a device made up",
    "threads": 2,
    "commit": "0123456789abcdef0123456789abcdef01234567",
}


def expansion_of(grid: str, **selection: object) -> Expansion:
    """A grid's cells without its data."""
    registry = load_plugins()
    chosen = load_grid(grid, registry, Selection.model_validate(selection))
    return Expansion(chosen, registry, registry.dataset(chosen.dataset).info(None))


def fabricate(
    expansion: Expansion, *, failed: Iterable[str] = (), diverged: Iterable[str] = (), without: Iterable[str] = ()
) -> dict[str, Record]:
    """A record for every run of a grid and its teachers, by id, except the runs `without`."""
    registry = load_plugins()
    runs = distinct(run for cell in expansion.cells for run in cell.runs)
    teachers = distinct(run.teacher.trained_by for run in runs if run.teacher and run.teacher.trained_by)
    records = {}
    for run in [*teachers, *runs]:
        if run.id in set(without):
            continue
        reason = {**dict.fromkeys(failed, "failed"), **dict.fromkeys(diverged, "diverged")}.get(run.id)
        records[run.id] = record(run, registry) if reason is None else failure(run, registry, reason)
    return records


def record(run: Run, registry: Registry, *, top1: float | None = None) -> Record:
    """A finished run; its last accuracy is `top1`, or follows from the names of the run."""
    dice = random.Random(run.id)
    if top1 is None:
        top1 = 70 + 5 * random.Random(run.method + run.student).random() + dice.gauss(0, 0.15)
    epochs = run.recipe.epochs
    weights = {"ce": 1.0} if run.role == "teacher" else _weights(run, registry)
    curve = []
    for number in range(1, epochs + 1):
        lr = run.recipe.lr_at(number)
        settled = 1 - 0.35 * math.exp(-6 * number / epochs) - 0.06 * (lr / run.recipe.lr) * (number < epochs)
        terms = {name: (2.5 - 0.2 * place) * math.exp(-2 * number / epochs) for place, name in enumerate(weights)}
        curve.append(
            Epoch(
                epoch=number,
                lr=lr,
                loss=sum(weight * terms[name] for name, weight in weights.items()),
                terms=terms,
                test_top1=top1 if number == epochs else top1 * settled + dice.gauss(0, 0.5),
                test_loss=1.2,
                diagnostics={"first": 0.3 + 0.1 * dice.random(), "second": 0.6} if len(weights) > 3 else {},
            )
        )
    return Record(**_common(run), status="done", curve=tuple(curve), cost=_cost(dice), weights_sha256=WEIGHTS)


def failure(run: Run, registry: Registry, status: str) -> Record:
    """A run that ended in its third epoch."""
    done = record(run, registry)
    reason = "RuntimeError: made up <b>& not bold</b>" if status == "failed" else "loss term 'ce' is nan"
    return done.model_copy(
        update={
            "status": status,
            "curve": done.curve[:2],
            "cost": None,
            "weights_sha256": None,
            "failure": Failure(reason=reason, epoch=3, traceback="Traceback\n  made up"),
        }
    )


def _weights(run: Run, registry: Registry) -> dict[str, float]:
    method = registry.method(run.method)
    return method.weights(method.Params(**run.params))


def _common(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "run": run,
        "basis": present_basis(run, teacher_sha256=WEIGHTS if run.teacher else None),
        "teacher_top1": 75.61 if run.teacher else None,
        "source": Source(module="made.up", distribution="kdbench", version="0.1.0", sha256="01" * 32),
        "environment": ENVIRONMENT,
        "command": "kdbench run --grid made-up",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T01:00:00+00:00",
    }


def _cost(dice: random.Random) -> Cost:
    return Cost(
        train_seconds=600 * (1 + dice.random()),
        test_seconds=20.0,
        images_per_second=20_000 / (1 + dice.random()),
        cohort_size=9,
        peak_memory_bytes=3_000_000_000,
        deployed_parameters=700_000,
        deployed_flops=100_000_000,
        training_parameters=900_000,
    )
