"""The fixture that a plugin author's tests use."""

import pytest

from kdbench.gate.pytest_fixture import kdbench_gate  # noqa: F401 (a fixture is used by its name)
from kdbench.inputs.errors import UserError
from kdbench.store.store import Store
from tests.gate.support import accuracies, baseline_of, expansion, record, written

MEANS = {"student": 90.0, "kd": 92.0, "dkd": 91.0}


@pytest.fixture
def baseline(tmp_path):
    """A baseline whose runs are by the installed code, so that they are taken for what it gives."""
    cells, store = expansion(tmp_path), Store(tmp_path / "runs")
    tops = accuracies(**MEANS)
    for cell in cells.cells:
        for run in cell.runs:
            store.write(record(run, tops[cell.row.key][run.seed]))
    return baseline_of(store, cells)


def test_unchanged_accuracy_passes(kdbench_gate, baseline, tmp_path):  # noqa: F811
    report = kdbench_gate(written(baseline, tmp_path / "b.json"), results=tmp_path / "runs")
    assert report.count("pass") == 3


def test_a_regression_fails_the_test_with_the_table(kdbench_gate, baseline, tmp_path):  # noqa: F811
    kd = baseline.cells[1]
    values = tuple(value.model_copy(update={"top1_last": value.top1_last + 3}) for value in kd.values)
    doctored = baseline.model_copy(update={"cells": (kd.model_copy(update={"values": values}),)})
    with pytest.raises(pytest.fail.Exception, match="regressed: kd resnet14→resnet8"):
        kdbench_gate(written(doctored, tmp_path / "b.json"), results=tmp_path / "runs")


def test_a_margin_that_passes_everything_is_refused(kdbench_gate, baseline, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match="a margin is a finite number of points from 0, not inf"):
        kdbench_gate(written(baseline, tmp_path / "b.json"), results=tmp_path / "runs", margin=float("inf"))
