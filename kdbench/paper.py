"""Published numbers as data: what a paper's table says, with its source."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from kdbench.grid import Pair, Row
from kdbench.inputs.documents import read_yaml
from kdbench.inputs.validation import validated
from kdbench.registry import Registry


class Published(BaseModel):
    """Mean and standard deviation in per cent, as printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    std: float | None = None


def _parse(value: object) -> object:
    if isinstance(value, list) and len(value) == 2:
        return {"mean": value[0], "std": value[1]}
    return {"mean": value} if isinstance(value, int | float) else value


class PaperTable(BaseModel):
    """One table of a paper. `cells` maps pair → row (`method` or `method/variant`) → [mean, std]; `recipe` is the name
    of the one that they were measured by, where kdbench has it. `runs` is the number behind each, where it is printed.
    `sources` names the source of rows whose numbers are not from `source`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    sources: dict[str, str] = {}
    dataset: str
    runs: int | None = None
    epoch: str
    recipe: str | None = None
    teachers: dict[str, float] = {}
    cells: dict[str, dict[str, Annotated[Published, BeforeValidator(_parse)]]]

    def published(self, dataset: str, pair: Pair, row: Row) -> Published | None:
        """The paper's number for a cell, or None: there is none, or it was measured on other data or parameters."""
        if dataset != self.dataset or not row.published:
            return None
        return self.cells.get(str(pair), {}).get(row.key)


def load_paper_table(name: str, registry: Registry) -> PaperTable:
    """A published table by name."""
    path = registry.paper_table_file(name)
    return validated(PaperTable, read_yaml(path), f"paper table {path.name}")
