"""The field's published tables as grids: every number has its cell, and what grids share is the same run."""

import pytest

from kdbench.cells import Expansion
from kdbench.paper import load_paper_table
from kdbench.plugins import load_plugins
from kdbench.selection import Selection, load_grid

REGISTRY = load_plugins()
#: Papers' tables of each grid, and rows that are in no paper's, in every table or in `TABLE:ROW`.
GRIDS = {
    "crd": (("crd_table1", "crd_table2"), set()),
    "dkd": (("dkd",), set()),
    "reviewkd": (("reviewkd",), {"student"}),
    "simkd": (("simkd",), set()),
    "semckd": (("semckd",), set()),
    "imagenet": (("imagenet_r34_r18", "imagenet_r50_mv1"), {"r50_mv1:at/alone"}),
    "cub200": (("cub200_sdd",), {"student"}),
}


def cells(name: str, **selection: object):
    grid = load_grid(name, REGISTRY, Selection(**selection))
    return Expansion(grid, REGISTRY, REGISTRY.dataset(grid.dataset).info(None)).cells


@pytest.mark.parametrize("name", GRIDS)
def test_every_number_has_its_cell_and_every_cell_its_number(name):
    papers, unprinted = GRIDS[name]
    printed = {
        (paper, pair, row, number.mean)
        for paper in papers
        for pair, rows in load_paper_table(paper, REGISTRY).cells.items()
        for row, number in rows.items()
    }
    shown = set()
    for cell in cells(name):
        paper = load_paper_table(cell.table.paper, REGISTRY)
        number = paper.published(paper.dataset, cell.pair, cell.row)
        # FSP's has none either: RepDistiller says N/A where we decline.
        missing = {cell.row.key, f"{cell.table.name}:{cell.row.key}"} & unprinted
        assert bool(number) == (not missing and not cell.declined), cell.as_json()
        if number:
            shown.add((cell.table.paper, str(cell.pair), cell.row.key, number.mean))
    assert shown == printed


def test_papers_repeat_each_others_numbers():
    """DKD's repository its KD row from CRD's, and SimKD's from SemCKD's what both have."""
    crd = {**load_paper_table("crd_table1", REGISTRY).cells, **load_paper_table("crd_table2", REGISTRY).cells}
    for pair, rows in load_paper_table("dkd", REGISTRY).cells.items():
        assert rows["kd_weighted"] == crd[pair]["kd_weighted"]
    semckd = load_paper_table("semckd", REGISTRY).cells
    for pair, rows in load_paper_table("simkd", REGISTRY).cells.items():
        shared = rows.keys() & semckd[pair].keys()
        assert {row: rows[row].mean for row in shared} == {row: semckd[pair][row].mean for row in shared}
        assert len(shared) == 7


@pytest.mark.parametrize("name", GRIDS)
def test_papers_tables_are_of_the_grids_data_and_name_sources_of_rows_that_are_there(name):
    for paper in GRIDS[name][0]:
        table = load_paper_table(paper, REGISTRY)
        assert table.dataset == load_grid(name, REGISTRY).dataset
        assert table.sources.keys() <= {row for rows in table.cells.values() for row in rows}


def test_imagenets_published_numbers_go_with_its_own_recipe_alone():
    for recipe, there in (({}, True), ({"precision": "bf16"}, True), ({"epochs": 5}, False)):
        found = cells("imagenet", recipe=recipe, tables=("r34_r18",))
        paper = load_paper_table("imagenet_r34_r18", REGISTRY)
        assert all(bool(paper.published("imagenet", cell.pair, cell.row)) == there for cell in found)


def ids(name: str, pair: str, row: str) -> list[str]:
    found = [cell for cell in cells(name, pairs=(pair,)) if cell.row.key == row]
    return [run.id for run in found[0].runs]


@pytest.mark.parametrize(
    ("one", "other", "pair", "row"),
    [
        ("crd", "cifar100", "vgg13:vgg8", "student"),
        ("crd", "dkd", "resnet56:resnet20", "kd_weighted"),
        ("semckd", "cifar100", "vgg13:vgg8", "at"),
        ("simkd", "cifar100", "resnet32x4:vgg8", "vid"),
        ("simkd", "semckd", "resnet32x4:resnet8x4", "semckd/skip"),
    ],
)
def test_what_grids_share_is_the_same_run(one, other, pair, row):
    assert ids(one, pair, row) == ids(other, pair, row)
