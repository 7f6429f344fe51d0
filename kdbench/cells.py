"""From a grid to cells: the runs of every table entry, one per seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kdbench.data.dataset import DatasetInfo
from kdbench.grid import Grid, Pair, Row, Table
from kdbench.inputs.errors import UserError
from kdbench.inputs.places import asking
from kdbench.inputs.validation import validated
from kdbench.inputs.visible import visible
from kdbench.method import Method, MethodParams
from kdbench.model import Shapes
from kdbench.registry import Registry
from kdbench.run import Run, Teacher
from kdbench.shapes import shapes_of


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
        teachers = {pair.teacher for table in grid.tables for pair in table.pairs}
        if idle := [architecture for architecture in self._imported if architecture not in teachers]:
            raise UserError(
                f"--teacher {idle[0]}=… is for no pair of grid '{grid.name}', whose teachers are "
                f"{', '.join(sorted(teachers))}; name one of these, or choose other pairs."
            )
        self._shapes: dict[str, Shapes] = {}
        self.cells = [
            self._cell(table, pair, row) for table in grid.tables for row in table.rows for pair in table.pairs
        ]

    def shapes(self, architecture: str) -> Shapes:
        """Feature sizes of a network on this data set."""
        if architecture not in self._shapes:
            sizes = self.info.num_classes, self.info.input_size
            self._shapes[architecture] = shapes_of(self._registry, architecture, *sizes)
        return self._shapes[architecture]

    def teacher(self, architecture: str) -> Teacher:
        """The teacher of that architecture: imported, or trained by a run of its own."""
        if architecture in self._imported:
            return Teacher(architecture=architecture, imported=self._imported[architecture])
        family = self._registry.architecture(architecture).family
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
        method = self._registry.method(row.method)
        params = method_params(method, row.params)
        teacher = self.teacher(pair.teacher)
        with asking(method, "needs_for"):
            needs_teacher = bool(method.needs_for(params).teacher)
        shapes = self.shapes(pair.student), self.shapes(pair.teacher) if needs_teacher else None
        with asking(method, "decline"):
            declined = method.decline(params, *shapes)
        with asking(method, "caveat_for"):
            caveat = method.caveat_for(params)
        runs = () if declined else self._runs(pair, method, params, teacher if needs_teacher else None)
        return Cell(table, pair, row, teacher, runs, declined, caveat)

    def _runs(self, pair: Pair, method: type[Method], params: MethodParams, teacher: Teacher | None) -> tuple[Run, ...]:
        family = self._registry.architecture(pair.student).family
        return tuple(
            Run(
                dataset=self.info.name,
                teacher=teacher,
                pre_stage=self._pre_stage(method, params, teacher),
                student=pair.student,
                method=method.name,
                params=params.of_run(),
                recipe=self.grid.recipe.resolved(family),
                seed=seed,
            )
            for seed in self.grid.seeds
        )

    def _pre_stage(self, method: type[Method], params: MethodParams, teacher: Teacher | None) -> Run | None:
        with asking(method, "pre_stage"):
            declared, by_default = method.pre_stage(params), method.pre_stage(method.Params())
        if declared is None or teacher is None:
            return None
        if by_default is None or by_default[0] is not declared[0]:
            # A pre-stage's run says whose it is; by the defaults it is told what to train.
            raise UserError(
                f"method '{method.name}' declares the pre-stage {declared[0].__name__} for some parameters and "
                f"{by_default[0].__name__ if by_default else 'none'} for its defaults; declare one class for both, and "
                "put what differs into its Params."
            )
        return Run(
            role="pre_stage",
            dataset=self.info.name,
            teacher=teacher,
            student=teacher.architecture,
            method=method.name,
            params=declared[1].of_run(),
            recipe=self.grid.teacher_recipe.resolved(self._registry.architecture(teacher.architecture).family),
            seed=self.grid.teacher_seed,
        )


def method_params(method: type[Method], values: Mapping[str, object]) -> MethodParams:
    """All parameters of a method, defaults filled in; `UserError` for an unknown name or a wrong value."""
    return validated(method.Params, dict(values), f"method '{method.name}'", f"kdbench show {method.name}")


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
