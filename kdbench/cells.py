"""From a grid to cells: the runs of every table entry, one per seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kdbench.data.augment import side_of
from kdbench.data.dataset import DatasetInfo
from kdbench.declared import NEEDS_INDICES, declared, declined, pre_stage
from kdbench.grid import Grid, Pair, Row, Table
from kdbench.inputs.errors import UserError
from kdbench.inputs.visible import visible
from kdbench.registry import Registry
from kdbench.run import Run, Teacher


@dataclass(frozen=True)
class Cell:
    """One entry of a table: its runs, or the sentence with which the method declines the pair."""

    table: Table
    pair: Pair
    row: Row
    teacher: Teacher
    runs: tuple[Run, ...]
    declined: str | None = None
    caveat: str = ""

    @property
    def label(self) -> str:
        """How tables call the row, with the method's caveat."""
        name = self.row.label or self.row.key
        return visible(f"{name} ({self.caveat})" if self.caveat else name)

    def as_json(self) -> dict[str, str]:
        """What tells it from the grid's other cells, as plain data."""
        return {
            "table": self.table.name,
            "teacher": self.pair.teacher,
            "student": self.pair.student,
            "row": self.row.key,
        }


class Expansion:
    """The cells of a grid on one data set.

    `imported` maps an architecture to the sha256 of imported teacher weights; other teachers are trained.
    """

    def __init__(self, grid: Grid, registry: Registry, info: DatasetInfo, imported: Mapping[str, str] | None = None):
        self.grid = grid
        self.info = info
        self._registry = registry
        self._imported = imported or {}
        #: Pixels of what students see, and teachers while they teach; in their own training that may be another size.
        self._side = side_of(info, grid.recipe.augmentation)
        side_of(info, grid.teacher_recipe.augmentation)
        teachers = {pair.teacher for table in grid.tables for pair in table.pairs}
        if idle := [architecture for architecture in self._imported if architecture not in teachers]:
            raise UserError(
                f"--teacher {idle[0]}=… is for no pair of grid '{grid.name}', whose teachers are "
                f"{', '.join(sorted(teachers))}; name one of these, or choose other pairs."
            )
        self.cells = [
            self._cell(table, pair, row) for table in grid.tables for row in table.rows for pair in table.pairs
        ]

    def teacher(self, architecture: str) -> Teacher:
        """The teacher of that architecture: imported, or trained by a run of its own."""
        if architecture in self._imported:
            return Teacher(architecture=architecture, imported=self._imported[architecture])
        family = self._registry.family(architecture)
        run = Run(
            role="teacher",
            dataset=self.info.name,
            teacher=None,
            student=architecture,
            method="supervised",
            params={},
            recipe=self.grid.teacher_recipe.resolved(family),
            seed=self.grid.teacher_seed,
        )
        return Teacher(architecture=architecture, trained_by=run)

    def _cell(self, table: Table, pair: Pair, row: Row) -> Cell:
        ask, asked = self._registry.ask, (row.method, row.params)
        told = ask(declared, *asked)
        teacher = self.teacher(pair.teacher)
        of_run = teacher if told["needs_teacher"] else None
        networks = pair.student, pair.teacher if of_run else None
        refusal = ask(declined, *asked, *networks, self.info.num_classes, self._side)
        if (told["class_indices"] and self.grid.recipe.soft_labels) or (
            told["pre_stage_class_indices"] and self.grid.teacher_recipe.soft_labels
        ):
            refusal = NEEDS_INDICES
        runs = () if refusal else self._runs(pair, row, told["params"], of_run)
        return Cell(table, pair, row, teacher, runs, refusal, told["caveat"])

    def _runs(self, pair: Pair, row: Row, params: dict[str, Any], teacher: Teacher | None) -> tuple[Run, ...]:
        return tuple(
            Run(
                dataset=self.info.name,
                teacher=teacher,
                pre_stage=self._pre_stage(row, teacher) if teacher else None,
                student=pair.student,
                method=self._registry.name("method", row.method),
                params=params,
                recipe=self.grid.recipe.resolved(self._registry.family(pair.student)),
                seed=seed,
            )
            for seed in self.grid.seeds
        )

    def _pre_stage(self, row: Row, teacher: Teacher) -> Run | None:
        params = self._registry.ask(pre_stage, row.method, row.params)
        if params is None:
            return None
        return Run(
            role="pre_stage",
            dataset=self.info.name,
            teacher=teacher,
            student=teacher.architecture,
            method=self._registry.name("method", row.method),
            params=params,
            recipe=self.grid.teacher_recipe.resolved(self._registry.family(teacher.architecture)),
            seed=self.grid.teacher_seed,
        )


def distinct(runs: Iterable[Run]) -> list[Run]:
    """Runs without repetition, in order: cells of several tables may be the same runs."""
    return list({run.id: run for run in runs}.values())


def title(run: Run, registry: Registry) -> str:
    """How messages call a run of a grid: with its method's parameters that are not the defaults, which tell variants
    apart.
    """
    if run.role != "student":
        return run.title
    defaults = registry.method(run.method).Params().model_dump(mode="json")
    changed = [f"{name} {value}" for name, value in run.params.items() if value != defaults.get(name)]
    return visible(f"{run.title} ({', '.join(changed)})" if changed else run.title)
