"""A paper's table on another data set: nothing is set beside the paper's numbers, and every output says so."""

import json
import re
from dataclasses import replace

import pytest

from kdbench.cells import Expansion
from kdbench.plugins import load_plugins
from kdbench.report.evidence import evidence
from kdbench.report.formats import render
from kdbench.report.page.render import render as render_page
from kdbench.report.results import cell_results
from kdbench.selection import Selection, load_grid
from tests.report.fabricate import expansion_of, fabricate

SENTENCE = "numbers are of cifar100 and are not to be set beside these"
COMPARABLE = "the order of the methods and the sign of their differences"
FORMATS = ("text", "markdown", "csv", "latex", "json")


@pytest.fixture(scope="module")
def elsewhere():
    """Two pairs of the paper's grid on other images of as many classes, and its records."""
    registry = load_plugins()
    selection = Selection.model_validate(
        {"pairs": ("wrn_40_2:wrn_16_2", "resnet32x4:resnet8x4"), "recipe": {"epochs": 3}}
    )
    grid = load_grid("cifar100", registry, selection)
    info = replace(registry.dataset("cifar100").info(None), name="tin100-32")
    expansion = Expansion(grid, registry, info)
    return expansion, fabricate(expansion), registry


@pytest.mark.parametrize("format", FORMATS)
def test_no_format_holds_a_number_of_the_papers(elsewhere, format):
    expansion, records, registry = elsewhere
    text = render(expansion, cell_results(expansion, records, registry), format)
    assert "paper 7" not in text
    if format == "json":
        assert all(cell["paper"] is None and cell["dataset"] == "tin100-32" for cell in json.loads(text))
    elif format != "csv":
        assert text.count("here on tin100-32") == text.count(SENTENCE) == text.count(COMPARABLE) == 3


def test_the_page_compares_with_no_paper_and_says_what_may_be_compared(elsewhere):
    expansion, records, registry = elsewhere
    options = {"command": "kdbench report", "references": ["kd"], "with_figures": False}
    text = render_page(expansion, records, registry, **options)
    assert "paper 7" not in text and "ours minus the paper" not in text and "Against the paper" not in text
    assert text.count(SENTENCE) == text.count(COMPARABLE) == 3
    details = json.loads(re.search(r'id="details">(.*?)</script>', text, re.S)[1])
    assert all(found["paper"] is None and found["difference"] is None for found in details)


def test_no_statistic_compares_with_the_paper(elsewhere):
    expansion, records, registry = elsewhere
    found = evidence(cell_results(expansion, records, registry), records, registry, ["kd"])
    assert found.paper == [] and found.paired


@pytest.mark.parametrize("rows", [{}, {"methods": ("sp",)}], ids=["published rows", "a row without a published number"])
def test_on_the_papers_data_nothing_is_said(rows):
    expansion = expansion_of("cifar100", tables=("table1",), **rows)
    text = render(expansion, cell_results(expansion, {}, load_plugins()), "text")
    assert "here on" not in text and SENTENCE not in text
