"""`kdbench teachers train | import | list`, and the use of an imported teacher."""

import argparse
import json
import shlex

import numpy as np
import torch
from safetensors.torch import save_file

from kdbench import create_model
from kdbench.execution.schedule import Summary, execute
from tests.architectures.reference import expand, fill, reference
from tests.cli.support import convolutions, kdbench, tiny_grid

SHORT = ["--set", "recipe.epochs=1", "--set", "recipe.max_steps=2", "--set", "recipe.augmentation.crop_padding=1"]


def zoo_checkpoint(path, classes=100):
    """A file as RepDistiller writes it: its names and shapes, weights by a formula."""
    shapes = expand(reference()["resnet8"]["tensors"])
    shapes |= {"fc.weight": [classes, 64], "fc.bias": [classes]}
    options, accuracy = argparse.Namespace(model="resnet8"), np.float64(71.0)
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in fill(shapes).items()}
    torch.save({"opt": options, "model": state, "best_acc": accuracy}, path)
    return path


def test_a_trained_teacher_is_found_done_and_listed(tmp_path):
    words = ["teachers", "train", "resnet14", "--dataset", "digits", *SHORT, "--results", tmp_path]
    first = kdbench(*words)
    assert first.code == 0 and "weights:" in first.out
    assert "drops (after 150, 180 and 210);" in first.out
    assert "is trained" in kdbench(*words).out
    (row,) = json.loads(kdbench("teachers", "list", "--results", tmp_path, "--json").out)
    assert row["teacher"] == "resnet14" and row["status"] == "done" and len(row["sha256"]) == 64


def test_one_that_another_process_trained_meanwhile_is_trained(tmp_path, monkeypatch):
    def by_another(*given):
        return Summary(others=execute(*given).records)

    monkeypatch.setattr("kdbench.execution.schedule.execute", by_another)
    done = kdbench("teachers", "train", "resnet14", "--dataset", "digits", *SHORT, "--results", tmp_path)
    assert done.code == 0 and "weights:" in done.out


def test_one_that_diverged_is_told_each_time_and_not_trained_again(tmp_path):
    words = ["teachers", "train", "resnet14", "--dataset", "digits", *SHORT, "--set", "recipe.lr=1e30"]
    for _ in range(2):
        done = kdbench(*words, "--results", tmp_path)
        assert done.code == 1 and done.out.count("teacher resnet14: diverged in epoch 1: ") == 1


def test_a_stale_one_is_called_so(tmp_path, monkeypatch):
    words = ["teachers", "train", "resnet14", "--dataset", "digits", *SHORT, "--results", tmp_path]
    assert kdbench(*words).code == 0 and "it is stale" not in kdbench(*words).out
    monkeypatch.setattr("kdbench.execution.staleness.NUMERIC_VERSION", 99)
    assert "it is stale, since kdbench computes differently" in kdbench(*words).out


def test_a_grid_finds_a_teacher_that_was_trained_before(tmp_path):
    grid = tiny_grid(tmp_path)
    settings = ["recipe.epochs=2", "recipe.batch_size=16", "recipe.max_steps=2"]
    settings += ["recipe.augmentation.crop_padding=1", "recipe.augmentation.flip=false", "recipe.milestones=[]"]
    words = [word for setting in settings for word in ("--set", setting)]
    trained = kdbench("teachers", "train", "resnet14", "--dataset", "digits", *words, "--results", tmp_path / "r")
    assert trained.code == 0, trained.err
    planned = kdbench("run", "--grid", grid, "--results", tmp_path / "r", "--dry-run")
    assert "1 teacher, trained already" in planned.out


def test_import_without_the_data_says_so_and_the_file_loads(tmp_path):
    source = zoo_checkpoint(tmp_path / "zoo.pth")
    result = kdbench("teachers", "import", source, "--arch", "resnet8", "--data-dir", tmp_path / "none")
    assert result.code == 0, result.err
    assert "not measured: cifar100 is not on this machine" in result.out and "sha256" in result.out
    model = create_model("resnet8", 100, tmp_path / "zoo.safetensors")
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 100)


def test_import_measures_where_the_data_are_and_a_grid_uses_it(tmp_path):
    source = zoo_checkpoint(tmp_path / "zoo.pth", classes=10)
    target = tmp_path / "teacher.safetensors"
    words = ["--arch", "resnet8", "--num-classes", 10, "-o", target, "--dataset", "digits"]
    with convolutions() as rounded:
        result = kdbench("teachers", "import", source, *words)
    assert result.code == 0, result.err
    assert "resnet8 on digits: " in result.out and rounded == {False}
    grid = tiny_grid(tmp_path)
    words = ["--methods", "kd", "--pairs", "resnet8:resnet8", "--seeds", "0", "--teacher", f"resnet8={target}"]
    run = kdbench("run", "--grid", grid, *words, "--results", tmp_path / "results", "--workers", 1)
    assert run.code == 0, run.err
    assert "1 run: 1 to train.\n" in run.out
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "results" / "records").glob("*.json")]
    assert record["basis"]["teacher_sha256"] in result.out and record["teacher_top1"] is not None


def test_a_file_of_safetensors_is_imported_beside_itself_and_is_no_teacher_before(tmp_path):
    checkpoint = torch.load(zoo_checkpoint(tmp_path / "zoo.pth", classes=10), weights_only=False)
    source = tmp_path / "my teacher.safetensors"
    save_file({f"module.student.{name}": tensor for name, tensor in checkpoint["model"].items()}, source)
    before = source.read_bytes()
    with_it = ["run", "--grid", tiny_grid(tmp_path), "--methods", "kd", "--pairs", "resnet8:resnet8", "--dry-run"]
    for path in (source, tmp_path / "zoo.pth"):
        refused = kdbench(*with_it, "--teacher", f"resnet8={path}")
        assert refused.code == 2 and f"`kdbench teachers import {shlex.quote(str(path))} --arch ARCH`" in refused.err
    words = ["--arch", "resnet8", "--num-classes", 10, "--data-dir", tmp_path / "none"]
    imported = kdbench("teachers", "import", source, *words)
    assert imported.code == 0 and "taken from behind 'module.student.'" in imported.out
    assert source.read_bytes() == before
    use = shlex.split(imported.out.splitlines()[-1].partition("…")[2])
    assert use == ["--teacher", f"resnet8={tmp_path / 'my teacher-resnet8.safetensors'}"]
    assert kdbench(*with_it, *use).code == 0


def test_import_never_overwrites(tmp_path):
    source = zoo_checkpoint(tmp_path / "zoo.pth")
    (tmp_path / "zoo.safetensors").write_bytes(b"mine")
    result = kdbench("teachers", "import", source, "--arch", "resnet8")
    assert result.code == 2 and "already exists and is not overwritten" in result.err
    assert (tmp_path / "zoo.safetensors").read_bytes() == b"mine"


def test_import_of_another_network_is_refused(tmp_path):
    result = kdbench("teachers", "import", zoo_checkpoint(tmp_path / "zoo.pth"), "--arch", "wrn_16_2")
    assert result.code == 2 and result.err.count("\n") == 1
    assert not (tmp_path / "zoo.safetensors").exists()
