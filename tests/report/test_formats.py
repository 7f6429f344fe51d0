"""Tables in every format; LaTeX is compiled where there is a pdflatex."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from kdbench.plugins import load_plugins
from kdbench.report.formats import render
from kdbench.report.results import Summary, cell_results
from tests.report.fabricate import expansion_of, fabricate

FORMATS = ("text", "markdown", "csv", "latex", "json")


@pytest.fixture(scope="module")
def whole():
    """The `cifar100` grid with cells of every status."""
    expansion = expansion_of("cifar100", recipe={"epochs": 3})
    runs = [run for cell in expansion.cells for run in cell.runs]
    missing = [run.id for run in [*expansion.cells[1].runs, runs[-1]]]
    records = fabricate(expansion, failed=[runs[100].id], diverged=[runs[50].id], without=missing)
    return expansion, cell_results(expansion, records, load_plugins())


@pytest.mark.parametrize("format", FORMATS)
def test_every_mean_is_in_every_format(whole, format):
    expansion, results = whole
    text = render(expansion, results, format)
    written = {round(float(number), 2) for number in re.findall(r"\d+\.\d+", text)}
    assert {round(result.last.mean, 2) for result in results if result.last.mean is not None} <= written
    assert {result.published.mean for result in results if result.published} <= written


def test_marks_and_their_meaning_are_in_text_and_markdown(whole):
    for format in ("text", "markdown"):
        text = render(*whole, format)
        assert "† a seed failed" in text and "‡ a seed diverged" in text and "– no result: not run" in text
        assert "(2)†" in text and "(2)‡" in text


def test_text_for_a_terminal_is_broken_into_tables_that_fit(whole):
    expansion, results = whole
    free, fitted = (render(expansion, results, "text", width=width) for width in (None, 80))
    boxed = [line for line in fitted.splitlines() if line.startswith(("+", "|"))]
    assert max(map(len, free.splitlines())) > 130
    table3 = next(number for number, line in enumerate(boxed) if "Teacher →" in line)
    assert max(map(len, boxed[: table3 - 1])) <= 80
    for number in (r"\d\d\.\d\d±\d\.\d\d", r"\(\d\)", "paper", "resnet8x4", "MobileNetV2"):
        assert len(re.findall(number, fitted)) == len(re.findall(number, free))
    narrow = render(expansion, results, "text", width=10)
    assert narrow.count("| DSKD ") == 7 and "DKS" in narrow


def test_csv_and_json_hold_the_same_cells(whole):
    cells = json.loads(render(*whole, "json"))
    rows = list(csv.DictReader(io.StringIO(render(*whole, "csv"))))
    assert len(rows) == len(cells) == len(whole[1])
    for row, cell in zip(rows, cells, strict=True):
        values = [float(value) for value in row["top1_last_values"].split()]
        assert values == cell["top1_last"]["values"] and row["status"] == cell["status"]


def test_best_epochs_are_labelled(whole):
    assert "best epoch's top-1 test accuracy (selected on the test set)" in render(*whole, "text", best=True)
    assert "Best epoch's" in render(*whole, "latex", best=True)


def test_latex_is_balanced_and_escapes(whole):
    text = render(*whole, "latex")
    assert len(re.findall(r"\\begin\{", text)) == len(re.findall(r"\\end\{", text))
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 3
    assert r"wrn\_40\_2" in text and not re.search(r"(?<!\\)[_#]", text)
    assert r"\multicolumn{4}{c}{resnet32x4" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles_whatever_a_label_holds(whole, tmp_path):
    expansion = expansion_of("quick", methods=("student",))
    table = expansion.grid.tables[0]
    label = "100% & $x_1$ #2 {a}^~\\ <b> |τ| ≥ é – → ✓b Σ " + "".join(map(chr, range(0xA0, 0x180)))
    rows = tuple(row.model_copy(update={"label": label}) for row in table.rows)
    grid = expansion.grid.model_copy(update={"tables": (table.model_copy(update={"rows": rows}),)})
    strange = type(expansion)(grid, load_plugins(), expansion.info)
    tables = render(*whole, "latex") + render(strange, cell_results(strange, {}, load_plugins()), "latex")
    packages = r"\usepackage{booktabs,amssymb,graphicx}"
    source = rf"\documentclass{{article}}{packages}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "tables.tex").write_text(source)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_top5_is_beside_top1_where_every_seed_has_it(whole):
    expansion, results = whole
    measured = [replace(results[0], top5=Summary(tuple(91.0 + seed for seed in results[0].seeds))), *results[1:]]
    mean = f"top-5 {Summary(measured[0].top5.values).mean:.2f}"
    for format in ("text", "markdown", "latex"):
        assert mean in render(expansion, measured, format) and "top-5" not in render(expansion, results, format)
    assert "top-5" not in render(expansion, measured, "text", best=True)
    some = [replace(results[0], top5=Summary((91.0,))), *results[1:]]
    assert len(results[0].seeds) > 1 and "top-5" not in render(expansion, some, "text")
    first, second, *_ = csv.DictReader(io.StringIO(render(expansion, measured, "csv")))
    assert first["top5_last_mean"] == repr(measured[0].top5.mean) and second["top5_last_mean"] == ""
    told = json.loads(render(expansion, measured, "json"))
    assert told[0]["top5_last"]["values"] == list(measured[0].top5.values) and "top5_last" not in told[1]
