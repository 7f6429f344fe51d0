"""The benchmark of reading on a few photographs: every way is timed, and related to the field's."""

import json

import pytest
import torch
from typer.testing import CliRunner

from kdbench.bench import loader as module
from kdbench.bench.loader import run_loader
from kdbench.bench.loader_report import render, to_json
from kdbench.bench.timing import processor_seconds
from kdbench.cli.app import app

CPU = torch.device("cpu")


def measured(**options):
    given = {"members": (1, 3), "readers": 0, "images": 12, "batch_size": 4, "rounds": 2} | options
    return run_loader(None, CPU, **given)


@pytest.fixture(scope="module")
def result():
    return measured()


def test_rows(result):
    assert [(row.name, row.students) for row in result.rows] == [
        ("the field's loader", 0),
        ("kdbench's readers", 0),
        ("the field's loop", 1),
        ("kdbench, a cohort of 1", 1),
        ("kdbench, a cohort of 3", 3),
    ]
    assert (result.images, result.batch_size, result.readers) == (12, 4, 0)
    assert result.rows[0].of_field == result.rows[2].of_field == result.rows[0].busy_of_field == 1.0


def test_both_ways_give_every_image_once_and_the_same_number_of_times(monkeypatch):
    seen = []
    train = module._train

    def counted(batches, count, device):
        passed = list(batches())
        seen.append((sum(len(labels) for _, labels in passed), {tuple(images.shape[1:]) for images, _ in passed}))
        train(lambda: iter(passed), count, device)

    monkeypatch.setattr(module, "_train", counted)
    measured(rounds=1)
    assert seen == [(12, {(3, 224, 224)})] * 10


def test_a_cohort_is_related_to_as_many_loops(monkeypatch):
    times = iter([9.0] * 5 + [2.0, 1.0, 2.0, 1.0, 1.5])
    monkeypatch.setattr(module, "seconds_of", lambda way, device: (way(), next(times))[1])
    rows = {row.name: row for row in measured(rounds=1).rows}
    assert rows["kdbench's readers"].of_field == 2.0
    assert rows["kdbench, a cohort of 3"].of_field == pytest.approx(3 * 2.0 / 1.5)


def test_told_as_a_table_and_as_json(result):
    text = render(result)
    assert "readers' CPU s" in text and "kdbench, a cohort of 3" in text and "12 images" in text
    told = json.loads(to_json(result, CPU))
    assert len(told["rows"]) == 5 and told["environment"]["packages"]["torchvision"]


def test_processor_time_of_this_process_counts():
    before = processor_seconds()
    while processor_seconds() < before + 0.05:
        torch.ones(100, 100).mm(torch.ones(100, 100))


def test_command():
    words = ["--images", "8", "--batch-size", "4", "--readers", "0", "--members", "2", "--rounds", "1"]
    told = CliRunner().invoke(app, ["bench", "loader", *words, "--device", "cpu", "--json"])
    assert told.exit_code == 0, told.output
    assert [row["students"] for row in json.loads(told.stdout)["rows"]] == [0, 0, 1, 1, 2]
