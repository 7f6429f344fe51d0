"""Figures drawn from made-up records."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from kdbench.plugins import load_plugins
from kdbench.report.figures import samples
from kdbench.report.figures.catalogue import figures
from kdbench.report.figures.inline import StyleSheet, inline_svg
from kdbench.report.figures.kinds import KINDS
from kdbench.report.figures.series import band, plots
from kdbench.report.figures.style import COLOURS, Look, panels, save, styled
from kdbench.report.paired import compare_to
from kdbench.report.results import cell_results
from tests.report.fabricate import expansion_of, fabricate

PAIR = "resnet32x4:resnet8x4"


def shown(grid="cifar100", tables=("table1",), pairs=(PAIR,), **selection):
    """Plots and comparisons of one pair of a grid."""
    expansion = expansion_of(grid, tables=tables, pairs=pairs, recipe={"epochs": 30}, **selection)
    records, registry = fabricate(expansion), load_plugins()
    results = cell_results(expansion, records, registry)
    reference = compare_to(results, "kd") if "kd" in {cell.row.key for cell in expansion.cells} else []
    return plots(expansion, results, records, registry), reference


@pytest.fixture(scope="module")
def entries():
    found, compared = shown(methods=("student", "kd", "dskd"))
    return {entry.kind: entry for entry in figures(found, compared)}


def test_a_grid_has_every_kind_of_figure(entries):
    assert set(entries) == set(KINDS)
    assert entries["terms"].name == "table1-resnet32x4-resnet8x4-terms"


def test_files_are_whole_and_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        for entry in figures(*shown(methods=("student", "kd", "dskd"))):
            save(entry.figure, tmp_path / name / f"{entry.kind}.svg", "svg")
            if name == "a":
                save(entry.figure, tmp_path / "a" / f"{entry.kind}.png", "png")
    for kind in KINDS:
        ET.parse(tmp_path / "a" / f"{kind}.svg")
        assert (tmp_path / "a" / f"{kind}.svg").read_bytes() == (tmp_path / "b" / f"{kind}.svg").read_bytes(), kind
        assert (tmp_path / "a" / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_shares_of_the_terms_sum_to_one(entries):
    below = entries["terms"].figure.axes
    shares = [axes for axes in below if axes.get_ylim() == (0, 1)]
    assert len(shares) == 2  # kd and dskd; the student has one term alone
    for axes in shares:
        total = np.sum([line.get_ydata() for line in axes.get_lines()], axis=0)
        np.testing.assert_allclose(total, 1)


def test_the_forest_says_where_the_differences_lie(entries):
    axes = entries["forest"].figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Student (3)", "DSKD (3)"]
    low, high = axes.get_xlim()
    assert low == -high


def test_every_line_is_in_the_legend_whatever_its_label():
    found, _ = shown(methods=("student", "kd"))
    labels = ["_Student_", "_"]
    named = []
    for series, label in zip(found[0].series, labels, strict=True):
        row = series.result.cell.row.model_copy(update={"label": label})
        cell = dataclasses.replace(series.result.cell, row=row)
        named.append(dataclasses.replace(series, result=dataclasses.replace(series.result, cell=cell)))
    for entry in figures([dataclasses.replace(found[0], series=tuple(named))], [], ["curves", "cost"]):
        (legend,) = entry.figure.legends
        assert [text.get_text() for text in legend.get_texts()] == labels, entry.kind


@pytest.mark.filterwarnings("error:constrained_layout not applied")
@pytest.mark.parametrize("kind", ["curves", "cost", "forest"])
def test_many_rows_with_long_labels_have_room(kind):
    """Every built-in method at once, some with a caveat of a whole sentence."""
    figure = next(entry.figure for entry in figures(*shown("zoo", (), ("resnet20:resnet8",)), (kind,)))
    with styled():
        FigureCanvasAgg(figure).draw()
    frame = figure.axes[0].get_window_extent()
    texts = [text for one in figure.legends for text in one.get_texts()] or figure.axes[0].get_yticklabels()
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) >= 22 and any("…" in text.get_text() for text in texts)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert frame.width > figure.bbox.width / 3


def test_without_a_reference_there_is_no_forest():
    found, _ = shown(methods=("student", "dskd"))
    assert "forest" not in {entry.kind for entry in figures(found, [])}


def test_only_the_kinds_asked_for_are_drawn():
    found, compared = shown(methods=("student", "kd"))
    assert [entry.kind for entry in figures(found, compared, ["cost"])] == ["cost"]


def test_a_pair_without_a_finished_run_has_no_plot():
    expansion = expansion_of("cifar100", tables=("table1",), pairs=(PAIR,))
    results = cell_results(expansion, {}, load_plugins())
    assert plots(expansion, results, {}, load_plugins()) == []


@pytest.mark.parametrize("changed", ["raises", "other terms"])
def test_weights_that_are_not_those_of_the_records_stop_no_figure(monkeypatch, changed):
    def weights(cls, params):
        if changed == "raises":
            raise NotImplementedError
        return {"ce": 1.0, "other": 1.0}

    expansion = expansion_of("cifar100", tables=("table1",), pairs=(PAIR,), methods=("kd", "dskd"))
    records, registry = fabricate(expansion), load_plugins()
    results = cell_results(expansion, records, registry)
    monkeypatch.setattr(registry.method("kd"), "weights", classmethod(weights))
    (plot,) = plots(expansion, results, records, registry)
    assert [len(series.weights) for series in plot.series] == [0, 5]
    drawn = {entry.kind: entry.caption for entry in figures([plot], [])}
    assert drawn.keys() == set(KINDS) - {"forest"}
    said = "Drawn without KD, whose `weights`, as they are now, do not name the terms of the records."
    assert [kind for kind, caption in drawn.items() if caption.endswith(said)] == ["terms"]


def test_no_two_series_look_alike():
    looks = [(look.colour, look.marker, str(look.line)) for look in map(Look, range(40))]
    assert len(set(looks)) == len(looks)
    assert len({marker for _, marker, _ in looks[:8]}) == 8, "told apart in black and white"


def test_a_thinned_curve_keeps_real_epochs_with_both_ends():
    found, _ = shown(methods=("kd",))
    records = found[0].series[0].records
    full = band(records, lambda epoch: epoch.test_top1, None)
    few = band(records, lambda epoch: epoch.test_top1, 7)
    assert len(few.epochs) == 7 and few.epochs[0] == 1 and few.epochs[-1] == 30
    np.testing.assert_array_equal(few.mean, full.mean[few.epochs - 1])
    assert (full.low <= full.mean).all() and (full.mean <= full.high).all()


def test_inline_figures_take_the_page_s_colours_and_keep_their_text():
    with styled():
        figure, ((axes,),) = panels(1, 1, 3, 2)
        axes.plot([0, 1], [0, 1], color=COLOURS[1], gid="series-4", label="a 12.345; #cc6677 <i>")
        axes.legend()
    styles = StyleSheet()
    svg = inline_svg(figure, "f7-", "a &lt;label&gt;", styles)
    root = ET.fromstring(svg)
    assert root.get("aria-label") == "a <label>"
    assert "a 12.345; #cc6677 <i>" in [text.text for text in root.iter("text")]
    assert all(element.get("id", "f7-").startswith("f7-") for element in root.iter())
    assert any(element.get("data-row") == "4" for element in root.iter())
    drawn = re.sub(r"<text.*?</text>", "", svg) + styles.css
    assert "var(--s1)" in drawn and not any(colour in drawn for colour in COLOURS)
    assert {name for use in root.iter("use") if (name := use.get("href")[1:])} <= {e.get("id") for e in root.iter()}


def test_samples_are_counted_once_each():
    values = {"first": np.linspace(0, 1, 200), "second": np.linspace(0.4, 0.6, 200), "third": np.full(200, 0.5)}
    figure = samples.draw(values, "a title")
    counted = [sum(patch.get_height() for patch in axes.patches) for axes in figure.axes]
    assert counted == [200, 200, 200]
    assert figure.axes[0].get_title(loc="left") == "first: mean 0.500, std 0.291"
