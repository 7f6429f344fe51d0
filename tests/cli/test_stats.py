"""`kdbench stats`."""

import json

import pytest

from kdbench.store.store import Store
from tests.cli.support import kdbench
from tests.gate.support import accuracies, expansion, fill


@pytest.fixture
def folder(tmp_path):
    fill(Store(tmp_path / "runs"), expansion(tmp_path), accuracies(student=90.0, kd=92.0, dkd=91.0))
    return tmp_path


def stats(folder, *words):
    return kdbench("stats", "--grid", folder / "gate.yaml", "--results", folder / "runs", *words)


def test_default_references_are_kd_and_student(folder):
    page = json.loads(stats(folder, "--json").out)
    assert {(one["row"], one["reference"]) for one in page["paired"]} == {
        ("student", "kd"),
        ("dkd", "kd"),
        ("kd", "student"),
        ("dkd", "student"),
    }


def test_a_reference_of_ones_own(folder):
    page = json.loads(stats(folder, "--json", "--reference", "dkd").out)
    assert {one["reference"] for one in page["paired"]} == {"dkd"}
    assert stats(folder, "--reference", "kdd").code == 2


def test_text_and_markdown(folder):
    assert "Paired differences, points" in stats(folder).out
    assert "**Paired differences, points**" in stats(folder, "--format", "markdown").out


def test_results_on_unlike_data_are_named(folder):
    assert "unlike data" not in stats(folder).err
    store = Store(folder / "runs")
    moved = next(iter(store.find().records.values()))
    basis = moved.basis.model_copy(update={"data_sha256": "e" * 64})
    store.write(moved.model_copy(update={"basis": basis}))
    left_out = stats(folder)
    assert left_out.code == 0 and "1 result is stale: 1 because the data set has changed" in left_out.err
    assert "unlike data" not in left_out.err
    warned = stats(folder, "--keep", "stale")
    assert warned.code == 0
    assert "results were made on unlike data of one name (runs " in warned.err and moved.id in warned.err
