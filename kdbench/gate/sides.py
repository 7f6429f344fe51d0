"""What `kdbench compare` compares: the cells of a results folder or of a baseline file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdbench.gate.baseline import Baseline, read_baseline
from kdbench.gate.difference import refuse_other_data
from kdbench.inputs.errors import UserError
from kdbench.recipe import Recipe
from kdbench.report.results import Summary
from kdbench.run import Run
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
    """One cell of one side: its recipe, the checksum of its data, how the networks that its students learned from were
    made, accuracies in per cent by seed, and why a seed has none.
    """

    recipe: dict[str, Any]
    data_sha256: str
    taught_by: dict[str, Any]
    values: dict[int, float] = field(default_factory=dict)
    without: dict[int, str] = field(default_factory=dict)

    @property
    def summary(self) -> Summary:
        """The accuracies, by seed."""
        return Summary(tuple(self.values[seed] for seed in sorted(self.values)))


@dataclass
class Side:
    """Cells by subject, one for each recipe that it was trained with, and the machines and versions that measured."""

    cells: dict[Subject, list[Measured]] = field(default_factory=dict)
    environments: list[Mapping[str, Any]] = field(default_factory=list)


def read_side(path: Path) -> Side:
    """One side of a comparison.

    Raises `UserError` if there are none, if a record is damaged, or if the runs of one cell have unlike teachers or
    those of one data set unlike data.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; give a results folder or a file of `kdbench baseline save`.")
    if path.is_dir():
        return _from_records(path)
    return _from_baseline(path)


def _from_records(folder: Path) -> Side:
    side = Side()
    data: dict[str, str] = {}
    found = Store(folder).find()
    if found.damaged:
        # Which cell it belongs to, it does not say: a seed would be missing unseen.
        raise found.damaged[0]
    for record in found.records.values():
        run = record.run
        if run.role != "student":
            continue
        expected = data.setdefault(run.dataset, record.data_sha256)
        refuse_other_data(f"run {record.id} in {folder}", record.data_sha256, "other runs there", expected)
        teacher = run.teacher.architecture if run.teacher else None
        subject = Subject(run.dataset, teacher, run.student, run.method, _key(run.params))
        new = Measured(run.recipe.model_dump(), record.data_sha256, _taught_by(run))
        measured = _of_recipe(side.cells.setdefault(subject, []), new)
        side.environments.append(record.environment)
        if unlike := changed(measured.taught_by, new.taught_by):
            raise UserError(
                f"{folder} holds runs of {subject.name} that learned from different networks ({unlike}); keep those of "
                "each in a results folder of its own, or compare files of `kdbench baseline save`, which hold one grid."
            )
        if record.status == "done":
            measured.values[run.seed] = record.top1_last
        else:
            measured.without[run.seed] = record.status
    if not side.cells:
        raise UserError(f"{folder} holds no records of students; give a results folder or a baseline file.")
    return side


def _from_baseline(path: Path) -> Side:
    baseline = read_baseline(path)
    side = Side(environments=list(baseline.environments))
    for cell in baseline.cells:
        recipe = baseline.grid.recipe.model_copy(update={"lr": cell.lr, "lr_by_family": {}}).model_dump()
        subject = Subject(
            baseline.dataset, cell.teacher if cell.taught else None, cell.student, cell.method, _key(cell.params)
        )
        new = Measured(recipe, baseline.data_sha256, _planned_teacher(baseline, cell.teacher) if cell.taught else {})
        measured = _of_recipe(side.cells.setdefault(subject, []), new)
        measured.values |= {value.seed: value.top1_last for value in cell.values}
    return side


def _of_recipe(found: list[Measured], new: Measured) -> Measured:
    for measured in found:
        if measured.recipe == new.recipe:
            return measured
    found.append(new)
    return new


def _taught_by(run: Run) -> dict[str, Any]:
    if run.teacher is None:
        return {}
    by = run.teacher.trained_by
    made = _trained("teacher", by.recipe, by.seed) if by else _imported(str(run.teacher.imported))
    if run.pre_stage is None:
        return made | {"pre-stage": "none"}
    trained = _trained("pre-stage", run.pre_stage.recipe, run.pre_stage.seed)
    return made | trained | {"pre-stage's params": run.pre_stage.params}


def _planned_teacher(baseline: Baseline, architecture: str) -> dict[str, Any]:
    if digest := baseline.imported.get(architecture):
        return _imported(digest)
    return _trained("teacher", baseline.grid.teacher_recipe, baseline.grid.teacher_seed)


def _imported(digest: str) -> dict[str, Any]:
    return {"teacher": f"imported {digest[:12]}"}


def _trained(what: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    # A grid's recipe leaves the rate to the network's family, which a baseline does not hold.
    unknown = {"lr", "lr_by_family"} if recipe.lr_by_family else set()
    # Not by `exclude`, which older pydantic does not heed where a model has a serializer of its own.
    made = {"seed": seed} | {key: value for key, value in recipe.model_dump().items() if key not in unknown}
    return {what: "trained"} | {f"{what}'s {key}": value for key, value in made.items()}


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def titles(subjects: Iterable[Subject]) -> dict[Subject, str]:
    """What tables call each of them: its name, with the parameters in which it differs from others of that name."""
    by_name: dict[str, dict[Subject, dict[str, Any]]] = {}
    for subject in subjects:
        by_name.setdefault(subject.name, {})[subject] = json.loads(subject.params)
    found = {}
    for name, group in by_name.items():
        # A parameter that was added to a method later is not there at its default.
        first, keys = next(iter(group.values())), dict.fromkeys(key for params in group.values() for key in params)
        varied = [key for key in keys if any(_at(params, key) != _at(first, key) for params in group.values())]
        for subject, params in group.items():
            shown = ", ".join(f"{key} {params[key]}" for key in varied if key in params)
            found[subject] = f"{name} ({shown})" if shown else name
    return found


def _at(params: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    return key in params, params.get(key)


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What both tell, but not alike, in words."""
    names = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    return ", ".join(f"{name} {old[name]} → {new[name]}" for name in names)


def surroundings(environments: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What an accuracy may depend on beside the configuration, each with all its values."""
    found: dict[str, set[str]] = {}
    for environment in environments:
        told = {name: environment[name] for name in ("device", "python") if name in environment}
        for name, value in (told | environment.get("packages", {})).items():
            found.setdefault(name, set()).add(f"{value}")
    return {name: " and ".join(sorted(values)) for name, values in found.items()}
