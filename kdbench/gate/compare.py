"""The difference of two results folders or baselines, cell by cell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kdbench.gate.difference import Difference, Sides, difference, refuse_other_data
from kdbench.gate.sides import Measured, Side, Subject, changed, surroundings, titles
from kdbench.inputs.errors import UserError
from kdbench.report.statistics import Estimate, Interval, holm


@dataclass(frozen=True)
class Compared:
    """A cell on both sides. `separated`: zero lies outside the interval at Holm's level; None for no difference."""

    subject: Subject
    title: str
    old: Measured
    new: Measured
    difference: Difference | None
    interval: Interval | None
    separated: bool

    @property
    def recipe_change(self) -> str:
        """What differs between the recipes, in words."""
        return changed(self.old.recipe, self.new.recipe)

    @property
    def teacher_change(self) -> str:
        """What differs between how the teachers, and the pre-stages on them, were made, in words."""
        return changed(self.old.taught_by, self.new.taught_by)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "dataset": self.subject.dataset,
            "teacher": self.subject.teacher,
            "student": self.subject.student,
            "method": self.subject.method,
            "params": json.loads(self.subject.params),
            "a": self.old.summary.as_json() | {"without": self.old.without},
            "b": self.new.summary.as_json() | {"without": self.new.without},
            "difference": self.difference.mean if self.difference else None,
            "kind": self.difference.kind if self.difference else None,
            "n": self.difference.n if self.difference else None,
            "interval": self.interval.as_json() if self.interval else None,
            "separated": self.separated,
            "recipe_change": self.recipe_change or None,
            "teacher_change": self.teacher_change or None,
        }


@dataclass(frozen=True)
class Comparison:
    """Cells on both sides, what only one side has, and in words which versions and devices differ."""

    cells: list[Compared]
    only_a: list[str]
    only_b: list[str]
    surroundings: str

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "cells": [cell.as_json() for cell in self.cells],
            "only_a": self.only_a,
            "only_b": self.only_b,
            "surroundings": self.surroundings or None,
        }


def compare(a: Side, b: Side, *, alpha: float = 0.05) -> Comparison:
    """B minus A in points, with t intervals at 1 − alpha; Holm's correction is over all cells.

    Cells match if data set, pair, method and parameters do, and of several recipes the equal one; a single recipe on
    each side matches another, and the change is told. Raises `UserError` if nothing matches, or if what matches was
    measured on different data.
    """
    matched, only_a, only_b = [], [], []
    named = titles([*a.cells, *b.cells])
    for subject in named:
        together, left, right = _match(a.cells.get(subject, []), b.cells.get(subject, []))
        matched += [(subject, old, new) for old, new in together]
        only_a += [named[subject]] * len(left)
        only_b += [named[subject]] * len(right)
    if not matched:
        raise UserError("the two sides have no cell in common: data set, pair, method and parameters must be equal.")
    for subject, old, new in matched:
        refuse_other_data(f"B's {named[subject]}", new.data_sha256, "A's", old.data_sha256)
    changes = [difference(Sides(o.values, n.values)) if o.values and n.values else None for _, o, n in matched]
    estimates = [change.estimate if change else Estimate(0.0, None, None) for change in changes]
    separated = [rejected for rejected, _ in holm([estimate.p_value for estimate in estimates], alpha)]
    cells = [
        Compared(subject, named[subject], old, new, change, estimate.interval(1 - alpha), apart)
        for (subject, old, new), change, estimate, apart in zip(matched, changes, estimates, separated, strict=True)
    ]
    return Comparison(cells, only_a, only_b, changed(surroundings(a.environments), surroundings(b.environments)))


def _match(
    left: list[Measured], right: list[Measured]
) -> tuple[list[tuple[Measured, Measured]], list[Measured], list[Measured]]:
    """(cells of equal recipes, or the only ones of each side; what is left of either)."""
    if len(left) == len(right) == 1:
        return [(left[0], right[0])], [], []
    together = [(old, new) for old in left for new in right if old.recipe == new.recipe]
    return (
        together,
        [old for old in left if not any(old is pair[0] for pair in together)],
        [new for new in right if not any(new is pair[1] for pair in together)],
    )
