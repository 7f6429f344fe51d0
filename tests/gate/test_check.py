"""A baseline file against records."""

import json
from xml.etree import ElementTree

import pytest

from kdbench.gate.baseline import read_baseline
from kdbench.gate.check import check
from kdbench.gate.junit import junit
from kdbench.gate.rerun import open_bench, refuse_stale
from kdbench.gate.text import text
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from tests.gate.support import GRID, accuracies, baseline_of, expansion, fill, record, written
from tests.support import present_basis

MEANS = {"student": 90.0, "kd": 92.0, "dkd": 91.0}


@pytest.fixture
def cells(tmp_path):
    return expansion(tmp_path)


@pytest.fixture
def baseline(tmp_path, cells):
    store = Store(tmp_path / "before")
    fill(store, cells, accuracies(**MEANS))
    return baseline_of(store, cells)


def bench(baseline, folder, **options):
    return open_bench(baseline, load_plugins(), folder, **options)


def outcomes(report):
    return {cell.cell.row: cell.verdict.outcome for cell in report.cells}


def test_the_same_records_pass(tmp_path, baseline):
    report = check(bench(baseline, tmp_path / "before"))
    assert set(outcomes(report).values()) == {"pass"} and report.exit_code(allow_undecided=False) == 0


def test_a_byte_order_mark_before_it_is_passed_over(baseline, tmp_path):
    path = written(baseline, tmp_path / "b.json")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_baseline(path) == baseline


def test_a_file_comes_back_as_it_was(tmp_path, baseline):
    path = written(baseline, tmp_path / "b.json")
    assert read_baseline(path) == baseline
    assert json.loads((tmp_path / "b.json").read_text())["cells"][0]["values"][0]["top1_last"] == 89.9


def test_a_regression_is_named(tmp_path, cells, baseline):
    fill(Store(tmp_path / "now"), cells, accuracies(**MEANS | {"kd": 89.0}))
    report = check(bench(baseline, tmp_path / "now"))
    assert outcomes(report) == {"student": "pass", "kd": "regressed", "dkd": "pass"}
    assert report.exit_code(allow_undecided=True) == 1
    assert "regressed: kd resnet14→resnet8 (first): -3.00 points" in text(report)


def test_a_missing_failed_or_diverged_seed_is_a_regression(tmp_path, cells, baseline):
    store = Store(tmp_path / "now")
    tops = accuracies(**MEANS)
    del tops["student"][1]
    fill(store, cells, tops)
    _, kd, dkd = cells.cells
    store.write(record(kd.runs[0], 0.0, "failed"))
    store.write(record(dkd.runs[2], 0.0, "diverged"))
    report = check(bench(baseline, store.root))
    assert set(outcomes(report).values()) == {"regressed"}
    said = {cell.cell.row: cell.verdict.reason for cell in report.cells}
    assert said["student"] == "seed 1 was not run"
    assert said["kd"] == "seed 0 failed: made up" and said["dkd"] == "seed 2 diverged: made up"


def test_other_seeds_are_compared_without_pairs(tmp_path, baseline):
    other = expansion(tmp_path, GRID.replace("[0, 1, 2]", "[3, 4, 5]"))
    tops = {row: {3: mean - 0.05, 4: mean, 5: mean + 0.05} for row, mean in MEANS.items()}
    fill(Store(tmp_path / "now"), other, tops)
    report = check(bench(baseline, tmp_path / "now", seeds=(3, 4, 5)))
    assert {cell.verdict.difference.kind for cell in report.cells} == {"welch"}
    assert set(outcomes(report).values()) == {"pass"}


def test_undecided_is_its_own_exit_code(tmp_path, cells, baseline):
    tops = accuracies(**MEANS)
    tops["kd"] = {0: 93.0, 1: 90.5, 2: 92.4}
    fill(Store(tmp_path / "now"), cells, tops)
    report = check(bench(baseline, tmp_path / "now"))
    assert outcomes(report)["kd"] == "cannot tell"
    assert report.exit_code(allow_undecided=False) == 3 and report.exit_code(allow_undecided=True) == 0
    assert report.as_json()["cells"][1]["seeds_needed"].isdigit()


def test_the_margin_is_the_baselines_unless_given(tmp_path, cells, baseline):
    fill(Store(tmp_path / "now"), cells, accuracies(**{row: mean - 0.5 for row, mean in MEANS.items()}))
    now = bench(baseline, tmp_path / "now")
    assert check(now).count("regressed") == 3
    assert check(now, margin=1.0).count("pass") == 3


def test_other_data_are_refused(tmp_path, cells, baseline):
    store = Store(tmp_path / "now")
    store.write(record(cells.cells[0].runs[0], 90.0, basis=present_basis(cells.cells[0].runs[0], "e" * 64)))
    with pytest.raises(UserError, match="made on other data"):
        check(bench(baseline, store.root))


def test_other_data_are_refused_before_anything_is_trained(tmp_path, baseline):
    other = baseline.model_copy(update={"data_sha256": "d" * 64})
    with pytest.raises(UserError, match=r"'digits' is not the baseline's .*, not d{12}., so nothing can be compared"):
        bench(other, tmp_path / "now")
    assert not (tmp_path / "now").exists()


def test_runs_of_other_code_are_refused_before_training(tmp_path, cells, baseline):
    run = cells.cells[0].runs[0]
    old = present_basis(run).model_copy(update={"sources": {"kdbench_methods.student": "0" * 64}})
    Store(tmp_path / "before").write(record(run, 90.0, basis=old))
    with pytest.raises(
        UserError, match=f"1 stale result, such as {run.id} .code has changed: .*kdbench_methods.student"
    ):
        refuse_stale(bench(baseline, tmp_path / "before"))
    refuse_stale(bench(baseline, tmp_path / "empty"))


def test_changed_parameters_are_told(tmp_path, baseline):
    kd = next(cell for cell in baseline.cells if cell.row == "kd")
    name, value = next(iter(kd.params.items()))
    other = kd.model_copy(update={"params": kd.params | {name: -1}})
    cells = tuple(other if cell is kd else cell for cell in baseline.cells)
    report = check(bench(baseline.model_copy(update={"cells": cells}), tmp_path / "before"))
    assert f"parameters changed: {name} -1 → {value}" in text(report)


def test_a_recipe_that_was_edited_is_told(tmp_path, baseline):
    recipe = baseline.grid.recipe.model_copy(update={"epochs": 2})
    other = baseline.model_copy(update={"grid": baseline.grid.model_copy(update={"recipe": recipe})})
    now = bench(other, tmp_path / "now")
    for run in now.cells[baseline.cells[1].key].runs:
        now.store.write(record(run, 92.0))
    assert "note: kd resnet14→resnet8 (first): run ids changed: its recipe" in text(check(now))
    assert "run ids" not in text(check(bench(baseline, tmp_path / "before", seeds=(0, 3))))


def test_other_versions_and_devices_are_told(tmp_path, cells, baseline):
    store = Store(tmp_path / "now")
    for cell in cells.cells:
        for run in cell.runs:
            device = "a GPU" if run.seed else "made up"
            store.write(record(run, 90.0, environment={"device": device, "packages": {"kdbench": "1", "torch": "9"}}))
    report = check(bench(baseline, store.root))
    assert "\nnote: since the baseline: device made up → a GPU and made up, kdbench 0 → 1\n" in text(report)
    assert report.as_json()["surroundings"] == "device made up → a GPU and made up, kdbench 0 → 1"
    assert check(bench(baseline, tmp_path / "before")).as_json()["surroundings"] is None


def test_imported_teachers_must_be_the_baselines(tmp_path, baseline):
    with pytest.raises(UserError, match="imported teachers: none"):
        bench(baseline, tmp_path, imported=[("resnet14", "a" * 64)])
    needing = baseline.model_copy(update={"imported": {"resnet14": "a" * 64}})
    with pytest.raises(UserError, match="resnet14 aaaaaaaaaaaa"):
        bench(needing, tmp_path)


def test_a_baseline_needs_every_run(tmp_path, cells):
    store = Store(tmp_path / "partly")
    fill(store, cells, accuracies(student=90.0, kd=92.0))
    with pytest.raises(UserError, match=r"3 of 9 runs are not done, such as dkd .* \(not run\)"):
        baseline_of(store, cells)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: text.replace("kdbench baseline", "something else"),
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace("89.9", "1e400"),
        lambda text: text.replace("89.9", "189.9"),
        lambda text: "[]",
    ],
)
def test_a_damaged_file_is_a_users_error(tmp_path, baseline, damage):
    path = written(baseline, tmp_path / "b.json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match="damaged or of another version"):
        read_baseline(path)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda cells: cells.append(cells[1]), "cell 'kd resnet14→resnet8 .first.' or one of its seeds is there twice"),
        (lambda cells: cells[1]["values"].append(cells[1]["values"][0]), "or one of its seeds is there twice"),
        (lambda cells: cells[1].update(row="kd/gone"), "its grid has no cell 'kd/gone resnet14→resnet8 .first.'"),
    ],
)
def test_cells_that_a_merge_or_an_edit_left_contradictory_are_refused(tmp_path, baseline, edit, why):
    path = written(baseline, tmp_path / "b.json")
    content = json.loads(path.read_text())
    edit(content["cells"])
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=why):
        read_baseline(path)


def test_junit_has_a_case_for_each_cell(tmp_path, cells, baseline):
    tops = accuracies(**MEANS | {"student": 80.0})
    tops["kd"] = {0: 93.0, 1: 90.5, 2: 92.4}
    fill(Store(tmp_path / "now"), cells, tops)
    suite = ElementTree.fromstring(junit(check(bench(baseline, tmp_path / "now")))).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    cases = {case.get("name"): case for case in suite}
    assert cases["student resnet14→resnet8"].find("failure").get("message").startswith("-10.00 points")
    assert cases["kd resnet14→resnet8"].find("skipped") is not None
    assert cases["dkd resnet14→resnet8"].find("failure") is None


def test_junit_survives_any_reason(tmp_path, cells, baseline):
    store = Store(tmp_path / "now")
    store.write(record(cells.cells[0].runs[0], 0.0, "failed", failure={"reason": "\x1b[31m<&\x00", "epoch": 1}))
    assert ElementTree.fromstring(junit(check(bench(baseline, store.root)))) is not None
