"""What `kdbench compare` compares: the cells of a results folder or of a baseline file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdbench.errors import UserError
from kdbench.gate.baseline import read_baseline
from kdbench.report.results import Summary
from kdbench.store.store import Store


@dataclass(frozen=True)
class Subject:
    """What was measured: a method with its parameters on a pair and a data set."""

    dataset: str
    teacher: str | None
    student: str
    method: str
    params: str

    @property
    def name(self) -> str:
        """What it is called where no two differ in parameters alone."""
        return f"{self.method} {f'{self.teacher}→' if self.teacher else ''}{self.student} on {self.dataset}"


@dataclass
class Measured:
    """One cell of one side: its recipe, accuracies in per cent by seed, and why a seed has none."""

    recipe: dict[str, Any]
    values: dict[int, float] = field(default_factory=dict)
    without: dict[int, str] = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        """The accuracies, by seed."""
        return Summary(tuple(self.values[seed] for seed in sorted(self.values)))


Cells = Mapping[Subject, list[Measured]]


def read_side(path: Path) -> Cells:
    """Cells by subject, one for each recipe that it was trained with. Raises `UserError` if there are none."""
    if not path.exists():
        raise UserError(f"{path} does not exist; give a results folder or a file of `kdbench baseline save`.")
    if path.is_dir():
        return _from_records(path)
    return _from_baseline(path)


def _from_records(folder: Path) -> Cells:
    cells: dict[Subject, list[Measured]] = {}
    for record in Store(folder).find().records.values():
        run = record.run
        if run.role != "student":
            continue
        teacher = run.teacher.architecture if run.teacher else None
        subject = Subject(run.dataset, teacher, run.student, run.method, _key(run.params))
        measured = _of_recipe(cells.setdefault(subject, []), run.recipe.model_dump(mode="json"))
        if record.status == "done":
            measured.values[run.seed] = record.top1_last
        else:
            measured.without[run.seed] = record.status
    if not cells:
        raise UserError(f"{folder} holds no records of students; give a results folder or a baseline file.")
    return cells


def _from_baseline(path: Path) -> Cells:
    baseline = read_baseline(path)
    cells: dict[Subject, list[Measured]] = {}
    for cell in baseline.cells:
        recipe = baseline.grid.recipe.model_copy(update={"lr": cell.lr, "lr_by_family": {}}).model_dump(mode="json")
        subject = Subject(
            baseline.dataset, cell.teacher if cell.taught else None, cell.student, cell.method, _key(cell.params)
        )
        measured = _of_recipe(cells.setdefault(subject, []), recipe)
        measured.values |= {value.seed: value.top1_last for value in cell.values}
    return cells


def _of_recipe(found: list[Measured], recipe: dict[str, Any]) -> Measured:
    for measured in found:
        if measured.recipe == recipe:
            return measured
    found.append(Measured(recipe))
    return found[-1]


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def titles(subjects: Iterable[Subject]) -> dict[Subject, str]:
    """What tables call each of them: its name, with the parameters in which it differs from others of that name."""
    by_name: dict[str, dict[Subject, dict[str, Any]]] = {}
    for subject in subjects:
        by_name.setdefault(subject.name, {})[subject] = json.loads(subject.params)
    found = {}
    for name, group in by_name.items():
        first = next(iter(group.values()))
        varied = [key for key in first if any(params.get(key) != first[key] for params in group.values())]
        for subject, params in group.items():
            shown = ", ".join(f"{key} {params.get(key)}" for key in varied)
            found[subject] = f"{name} ({shown})" if shown else name
    return found


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The keys of two recipes that differ, in words."""
    names: Iterable[str] = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return ", ".join(f"{name} {old.get(name)} → {new.get(name)}" for name in names)
