"""`kdbench figures` and `kdbench diagnose`."""

import json

import pytest
import torch

from kdbench.cells import Expansion
from kdbench.execution.options import Options
from kdbench.execution.plan import make_plan
from kdbench.execution.schedule import execute
from kdbench.execution.staleness import Present
from kdbench.plugins import load_plugins
from kdbench.selection import load_grid
from kdbench.store.store import Store
from tests.cli.support import TINY_GRID, convolutions, kdbench, tiny_grid
from tests.report.fabricate import expansion_of, fabricate


def test_a_file_a_figure_and_format(tmp_path):
    store = Store(tmp_path / "results")
    for record in fabricate(expansion_of("quick", methods=("student", "kd"), pairs=("resnet20:resnet8",))).values():
        store.write(record)
    words = ("--grid", "quick", "--methods", "student,kd", "--pairs", "resnet20:resnet8", "--results", store.root)
    done = kdbench("figures", *words, "-o", tmp_path / "f", "--format", "svg,png", "--kinds", "curves,forest")
    assert done.code == 0, done.err
    names = {path.name for path in (tmp_path / "f").iterdir()}
    base = "quick-resnet20-resnet8"
    assert names == {f"{base}-{kind}.{suffix}" for kind in ("curves", "forest") for suffix in ("svg", "png")}
    assert len(done.out.split()) == 4


def test_rows_without_loss_terms_are_named(tmp_path, monkeypatch):
    store = Store(tmp_path / "results")
    for record in fabricate(expansion_of("quick", methods=("student", "kd"), pairs=("resnet20:resnet8",))).values():
        store.write(record)
    monkeypatch.setattr(load_plugins().method("kd"), "weights", classmethod(lambda cls, params: {"other": 1.0}))
    words = ("--grid", "quick", "--methods", "student,kd", "--pairs", "resnet20:resnet8", "--results", store.root)
    told = kdbench("figures", *words, "-o", tmp_path / "f", "--kinds", "terms")
    assert told.code == 0 and "warning: loss terms are drawn without KD, whose `weights`" in told.err
    assert not kdbench("figures", *words, "-o", tmp_path / "f", "--kinds", "cost").err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--format", "gif"), "--format takes svg, png"),
        (("--kinds", ""), "--kinds takes curves, forest"),
        ((), "no finished run of grid 'quick'"),
    ],
)
def test_mistakes_are_sentences(tmp_path, words, sentence):
    (tmp_path / "none").mkdir()
    done = kdbench("figures", "--grid", "quick", "--results", tmp_path / "none", "-o", tmp_path / "f", *words)
    assert done.code == 2 and sentence in done.err


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A results folder whose runs were kept with their methods' modules."""
    folder = tmp_path_factory.mktemp("kept")
    grid = tiny_grid(folder, TINY_GRID.replace("{method: kd, label: KD}", "{method: dskd}").replace("[0, 1]", "[0]"))
    registry, store = load_plugins(), Store(folder / "results")
    chosen = load_grid(str(grid), registry)
    source = registry.dataset(chosen.dataset)
    expansion = Expansion(chosen, registry, source.info(None))
    plan = make_plan((run for cell in expansion.cells for run in cell.runs), store, Present(registry))
    how = Options(device=torch.device("cpu"), workers=1, keep_final=True)
    summary = execute(plan, store, registry, source.load(None), how)
    assert summary.count("done") == 3
    return store, {record.run.method: record for record in store.find().records.values()}


def test_a_run_s_diagnostics_over_the_whole_training_set(kept, tmp_path):
    store, records = kept
    record = records["dskd"]
    with convolutions() as rounded:
        done = kdbench("diagnose", record.id, "--results", store.root, "-o", tmp_path, "--json", "--format", "svg,png")
    assert done.code == 0, done.err
    assert rounded == {False}, "the run's precision is fp32"
    told = json.loads(done.out)
    assert told["images"] == 1000 and set(told["values"]) == set(record.curve[-1].diagnostics)
    for kind in ("KD", "F"):
        means = [summary["mean"] for name, summary in told["values"].items() if name.startswith(f"W^{kind}_")]
        assert sum(means) == pytest.approx(1, abs=1e-5), "the weights of a sample sum to one over its blocks"
    for name, summary in told["values"].items():
        assert summary["mean"] == pytest.approx(record.curve[-1].diagnostics[name], abs=0.05)
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png"}


def test_only_the_values_asked_for(kept, tmp_path):
    store, records = kept
    words = ("diagnose", records["dskd"].id, "--results", store.root, "-o", tmp_path)
    assert kdbench(*words, "--values", "W^KD_1").out.startswith("W^KD_1: mean 0.")
    assert kdbench(*words, "--values", "W^KD_9").code == 2


def test_runs_that_cannot_be_diagnosed(kept, tmp_path):
    store, records = kept
    assert "tells nothing" in kdbench("diagnose", records["student"].id, "--results", store.root).err
    taught_by = records["supervised"].id
    said = kdbench("diagnose", taught_by, "--results", store.root)
    assert said.code == 2 and f"run '{taught_by}' is a teacher's (resnet14), and a teacher has no method" in said.err
    unknown = kdbench("diagnose", "none", "--results", store.root).err
    assert "no record of run 'none'" in unknown and "`kdbench run --grid NAME --dry-run` lists run ids" in unknown
    misspelt = kdbench("diagnose", "none", "--results", tmp_path / "rseults")
    assert misspelt.code == 2 and "rseults does not exist" in misspelt.err
    other = Store(tmp_path / "other")
    other.write(records["dskd"])
    assert "--keep-final" in kdbench("diagnose", records["dskd"].id, "--results", other.root).err
