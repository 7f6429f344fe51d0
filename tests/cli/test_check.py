"""`kdbench check`: exit codes and outputs, and once from training to verdict."""

import json
from xml.etree import ElementTree

import pytest

from kdbench.execution.schedule import Summary
from kdbench.store.store import Store
from tests.cli.support import TINY_GRID, convolutions, kdbench, tiny_grid
from tests.gate.support import accuracies, baseline_of, expansion, fill, written

MEANS = {"student": 90.0, "kd": 92.0, "dkd": 91.0}


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "before")
    cells = expansion(tmp_path)
    fill(store, cells, accuracies(**MEANS))
    written(baseline_of(store, cells), tmp_path / "b.json")
    return tmp_path


def now(folder, tops):
    fill(Store(folder / "now"), expansion(folder), tops)


def check(folder, *words):
    return kdbench("check", "--baseline", folder / "b.json", "--results", folder / "now", "--no-run", *words)


def test_unchanged_is_0(folder):
    now(folder, accuracies(**MEANS))
    result = check(folder)
    assert result.code == 0 and "3 pass, 0 regressed, 0 cannot be told" in result.out


def test_a_regression_is_1_and_named_everywhere(folder):
    now(folder, accuracies(**MEANS | {"kd": 89.0}))
    result = check(folder, "--junit", folder / "out" / "junit.xml")
    assert result.code == 1 and "regressed: kd resnet14→resnet8 (first): -3.00 points" in result.out
    suite = ElementTree.parse(folder / "out" / "junit.xml").getroot().find("testsuite")
    assert suite.get("failures") == "1"
    report = json.loads(check(folder, "--json").out)
    assert {cell["row"]: cell["verdict"] for cell in report["cells"]} == {
        "student": "pass",
        "kd": "regressed",
        "dkd": "pass",
    }
    assert check(folder, "--margin", 4).code == 0


def test_a_doctored_baseline_is_1(folder):
    now(folder, accuracies(**MEANS))
    saved = json.loads((folder / "b.json").read_text())
    for value in saved["cells"][2]["values"]:
        value["top1_last"] += 3
    (folder / "b.json").write_text(json.dumps(saved))
    result = check(folder)
    assert result.code == 1 and "regressed: dkd resnet14→resnet8" in result.out


@pytest.mark.parametrize("margin", ["inf", "nan", "-1"])
def test_a_margin_that_is_none_is_2_and_one_sentence(folder, margin):
    now(folder, accuracies(**MEANS | {"kd": 0.1}))
    result = check(folder, "--margin", margin)
    assert result.code == 2 and not result.out
    assert result.err.startswith(f"kdbench: a margin is a finite number of points from 0, not {margin}")
    assert result.err.count("\n") == 1


def test_missing_runs_are_1(folder):
    (folder / "now").mkdir()
    result = check(folder)
    assert result.code == 1 and "seed 0 was not run" in result.out


def test_undecided_is_3_unless_allowed(folder):
    now(folder, accuracies(**MEANS) | {"kd": {0: 93.0, 1: 90.5, 2: 92.4}})
    assert check(folder).code == 3
    assert check(folder, "--allow-undecided").code == 0
    assert check(folder, "--alpha", 0.5).code == 0


@pytest.mark.parametrize("content", [None, "", "{}", "not json", "\udcff"])
def test_a_missing_or_damaged_baseline_is_2(folder, content):
    (folder / "b.json").unlink()
    if content is not None:
        (folder / "b.json").write_bytes(content.encode(errors="surrogateescape"))
    result = check(folder)
    assert result.code == 2 and "baseline" in result.err


def test_stale_runs_are_2_unless_only_read(folder):
    now(folder, accuracies(**MEANS))
    store = Store(folder / "now")
    stale = next(iter(store.find().records.values()))
    store.write(stale.model_copy(update={"basis": stale.basis.model_copy(update={"numeric_version": 0})}))
    result = kdbench("check", "--baseline", folder / "b.json", "--results", folder / "now")
    assert result.code == 2 and f"1 stale result, such as {stale.id} (kdbench computes differently since" in result.err
    read = check(folder)
    assert read.code == 0 and "warning: 1 result is stale: 1 because kdbench computes differently since" in read.err
    assert f"({stale.id}): judged as they are." in read.err


def test_from_training_to_verdict(tmp_path):
    """A baseline of real runs: trained anew the bits are the same; a doctored cell is found."""
    grid = tiny_grid(tmp_path, TINY_GRID)
    first = ("--results", tmp_path / "first")
    assert kdbench("run", "--grid", grid, *first, "--workers", 1).code == 0
    assert kdbench("baseline", "save", "--grid", grid, *first, tmp_path / "b.json").code == 0
    again = ("check", "--baseline", tmp_path / "b.json", "--results", tmp_path / "again", "--workers", 1, "--json")
    result = kdbench(*again)
    assert result.code == 0 and "4 runs: 4 to train; 1 teacher, 1 to train first." in result.err
    assert {cell["reason"] for cell in json.loads(result.out)["cells"]} == {"bit for bit the same runs"}
    saved = json.loads((tmp_path / "b.json").read_text())
    for value in saved["cells"][1]["values"]:
        value["top1_last"] += 3
    (tmp_path / "b.json").write_text(json.dumps(saved))
    doctored = kdbench(*again)
    assert doctored.code == 1 and not doctored.err
    assert [cell["row"] for cell in json.loads(doctored.out)["cells"] if cell["verdict"] == "regressed"] == ["kd"]
    with convolutions() as rounded:
        stats = kdbench("stats", "--grid", grid, *first, "--predictions", "--json")
    if stats.code == 2:
        pytest.skip(stats.err)
    assert rounded == {False}, "the runs' precision is fp32"
    agreement, calibration = (
        json.loads(stats.out)["predictions"][1][key] for key in ("agreement", "calibration_error")
    )
    assert len(agreement["values"]) == len(calibration["values"]) == 2
    assert all(0 <= value <= 100 for value in agreement["values"] + calibration["values"])


def test_seeds_and_data_can_be_others(folder):
    now(folder, accuracies(**MEANS))
    assert "seed 3 was not run" in check(folder, "--seeds", "3,4").out
    assert check(folder, "--dataset", "digits").code == 0


def test_an_interrupted_check_judges_nothing(folder, monkeypatch):
    monkeypatch.setattr("kdbench.gate.rerun.train", lambda *_: Summary(interrupted=True))
    result = kdbench("check", "--baseline", folder / "b.json", "--results", folder / "now")
    assert result.code == 130 and "nothing was judged" in result.err and not result.out


def test_a_junit_file_that_cannot_be_written_is_a_mistake_in_the_call_not_a_regression(folder):
    now(folder, accuracies(**MEANS))
    (folder / "taken").mkdir()
    result = check(folder, "--junit", folder / "taken")
    assert result.code == 2 and f"{folder / 'taken'} is a folder, not a file" in result.err
    assert not result.out  # before anything is judged
