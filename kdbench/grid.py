"""Grids: which tables to fill, as typed configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kdbench.inputs.names import unfit_name
from kdbench.inputs.networks import splits
from kdbench.inputs.seeds import parse_seeds
from kdbench.recipe import Recipe

#: Far more than anybody trains; a small file can ask for billions.
MAX_RUNS = 100_000


class Pair(BaseModel):
    """Teacher architecture and student architecture, written `teacher:student`; each may be `scheme:name`."""

    model_config = ConfigDict(frozen=True)

    teacher: str
    student: str

    def __str__(self) -> str:
        return f"{self.teacher}:{self.student}"


def _parse_pair(value: object) -> object:
    match value:
        case str():
            # Where there are several ways, the registry, which knows schemes, tells which is meant (`selection.py`).
            if (read := next(splits(value), None)) is None:
                raise ValueError(f"a pair is written teacher:student, not '{value}'")
            return {"teacher": read[0], "student": read[1]}
        # What YAML makes of a space behind the colon, and of a list.
        case dict() if len(value) == 1:
            raise _no_pair(*next(iter(value.items())))
        case [teacher, student]:
            raise _no_pair(teacher, student)
    return value


def _no_pair(teacher: object, student: object) -> ValueError:
    example = f", without a space: {teacher}:{student}" if isinstance(student, str) else ""
    return ValueError(f"a pair is written teacher:student{example}")


def _parse_pairs(value: object) -> object:
    match value:
        case dict() if value:
            raise _no_pair(*next(iter(value.items())))
        # Two names without a colon are one pair rather than two wrong ones.
        case [str(teacher), str(student)] if ":" not in f"{teacher}{student}":
            raise _no_pair(teacher, student)
    return value


def _parse_row(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"a row is written {{method: {value}}}, not '{value}'")
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
    pairs: Annotated[tuple[PairField, ...], BeforeValidator(_parse_pairs)] = Field(min_length=1)
    rows: tuple[Annotated[Row, BeforeValidator(_parse_row)], ...] = Field(min_length=1)

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
    seeds: Annotated[tuple[int, ...], BeforeValidator(parse_seeds)] = (0, 1, 2)
    teacher_seed: int = Field(0, ge=0)
    tables: tuple[Table, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Grid:
        names = [table.name for table in self.tables]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"table '{twice}' is named twice")
        return self

    @model_validator(mode="after")
    def _within_reach(self) -> Grid:
        runs = sum(len(table.pairs) * len(table.rows) for table in self.tables) * len(self.seeds)
        if runs > MAX_RUNS:
            raise ValueError(f"it has {runs:,} runs, and at most {MAX_RUNS:,} are planned")
        return self
