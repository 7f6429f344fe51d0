"""`kdbench baseline save`."""

import json

import pytest

from kdbench.store.store import Store
from tests.cli.support import kdbench
from tests.gate.support import accuracies, expansion, fill


@pytest.fixture
def folder(tmp_path):
    fill(Store(tmp_path / "runs"), expansion(tmp_path), accuracies(student=90.0, kd=92.0, dkd=91.0))
    return tmp_path


def save(folder, *words):
    grid = ("--grid", folder / "gate.yaml", "--results", folder / "runs")
    return kdbench("baseline", "save", *grid, *words, folder / "b.json")


def test_values_by_seed_versions_and_run_ids_are_kept(folder):
    result = save(folder, "--margin", 0.5)
    assert result.code == 0 and "3 cells, 9 runs, margin 0.5 points" in result.out
    saved = json.loads((folder / "b.json").read_text())
    assert [value["top1_last"] for value in saved["cells"][1]["values"]] == pytest.approx([91.9, 92.0, 92.1])
    assert all(len(value["run"]) == 16 for cell in saved["cells"] for value in cell["values"])
    assert saved["environments"] == [{"device": "made up", "packages": {"kdbench": "0"}}]
    assert saved["grid"]["recipe"]["batch_size"] == 16 and saved["margin"] == 0.5


def test_nothing_is_overwritten_unless_told(folder):
    assert save(folder).code == 0
    before = (folder / "b.json").read_bytes()
    again = save(folder, "--methods", "kd")
    assert again.code == 2 and "already exists" in again.err
    assert (folder / "b.json").read_bytes() == before
    assert save(folder, "--methods", "kd", "--force").code == 0
    assert len(json.loads((folder / "b.json").read_text())["cells"]) == 1


def test_unfinished_runs_are_named(folder):
    result = save(folder, "--seeds", "0,7")
    assert result.code == 2 and "seed 7 (not run)" in result.err and not (folder / "b.json").exists()


@pytest.mark.parametrize("margin", ["inf", "nan", "-1"])
def test_a_margin_that_is_none_is_refused(folder, margin):
    result = save(folder, "--margin", margin)
    assert result.code == 2 and not (folder / "b.json").exists()
    assert result.err.startswith(f"kdbench: a margin is a finite number of points from 0, not {margin}")
