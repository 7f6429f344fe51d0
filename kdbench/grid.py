"""Grids: which tables to fill, as typed configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kdbench.inputs.names import unfit_name
from kdbench.recipe import Recipe

#: Far more than anybody trains; a small file can ask for billions.
MAX_RUNS = 100_000


class Pair(BaseModel):
    """Teacher architecture and student architecture, written `teacher:student`."""

    model_config = ConfigDict(frozen=True)

    teacher: str
    student: str

    def __str__(self) -> str:
        return f"{self.teacher}:{self.student}"


def _parse_pair(value: object) -> object:
    if isinstance(value, str):
        teacher, colon, student = value.partition(":")
        if not (teacher and colon and student) or ":" in student:
            raise ValueError(f"a pair is written teacher:student, not '{value}'")
        return {"teacher": teacher, "student": student}
    return value


PairField = Annotated[Pair, BeforeValidator(_parse_pair)]


def _fit_name(name: str) -> str:
    if why := unfit_name(name):
        raise ValueError(f"'{name}' cannot be a name: {why}")
    return name


Name = Annotated[str, AfterValidator(_fit_name)]


class Row(BaseModel):
    """A method of a table, or a variant of it: the same method with some declared parameters changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    variant: Name | None = None
    params: dict[str, Any] = {}
    label: str | None = None
    marks: dict[str, bool] = Field({}, description="in an ablation, which of its switches are on")
    published: bool = Field(True, description="whether the number that the paper has for this row is shown beside it")

    @property
    def key(self) -> str:
        """`method` or `method/variant`: how paper tables name the row."""
        return f"{self.method}/{self.variant}" if self.variant else self.method


class Table(BaseModel):
    """Rows × pairs. `layout` is `pairs` (methods down, pairs across) or `ablation` (switches down, variants across)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    layout: Literal["pairs", "ablation"] = "pairs"
    paper: str | None = None
    pairs: tuple[PairField, ...] = Field(min_length=1)
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ablation_has_one_pair(self) -> Table:
        if self.layout == "ablation" and len(self.pairs) != 1:
            raise ValueError("an ablation shows one pair")
        return self


class Grid(BaseModel):
    """Tables over one data set, recipe and list of seeds. Teachers are trained with the same recipe unless told
    otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    description: str = ""
    dataset: str
    recipe: Recipe
    teacher_recipe: Recipe
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    teacher_seed: int = 0
    tables: tuple[Table, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Grid:
        for what, names in (("seed", self.seeds), ("table", [table.name for table in self.tables])):
            if len(set(names)) < len(names):
                raise ValueError(f"a {what} is named twice")
        return self

    @model_validator(mode="after")
    def _within_reach(self) -> Grid:
        runs = sum(len(table.pairs) * len(table.rows) for table in self.tables) * len(self.seeds)
        if runs > MAX_RUNS:
            raise ValueError(f"it has {runs:,} runs, and at most {MAX_RUNS:,} are planned")
        return self
