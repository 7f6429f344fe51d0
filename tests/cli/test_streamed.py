"""Commands on images in files."""

import json

import pytest
import torch

from kdbench.execution.estimate import Estimator
from kdbench.plugins import load_plugins
from tests.cli.support import kdbench
from tests.data.streams import files

GRID = """
dataset: imagefolder:{folder}
recipe:
  epochs: 2
  lr: 0.001
  batch_size: 8
  augmentation: {{crop_padding: 0, size: 8, resize: 10, random_resized_crop: [0.3, 1.0], rand_augment: [1, 5]}}
seeds: [0]
tables:
  - name: first
    title: A tiny table
    pairs: [resnet14:resnet8]
    rows: [{{method: student}}, {{method: kd}}, {{method: at}}]
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for part, count in (("train", 63), ("val", 22)):
        made = files(count, classes=21)
        for number, (label, encoded) in enumerate(zip(made.labels.tolist(), made.encoded, strict=True)):
            place = folder / part / f"{label:02}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.jpg").write_bytes(encoded)
    path = folder / "grid.yaml"
    path.write_text(GRID.format(folder=folder))
    return path


def test_dry_run_says_how_many_images_a_second_have_to_be_read(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(Estimator, "rate", lambda *_: 1e9)
    words = "--grid", grid, "--results", tmp_path / "results", "--dry-run"
    told = json.loads(kdbench("run", *words, "--json").out)
    # The teacher, the student without one, and the two that share it: two epochs of 63 and 22 images each.
    assert told["images_per_second"] == pytest.approx(3 * 2 * (63 + 22) * 1e9 / told["flops"])
    assert f"{told['images_per_second']:,.0f} images a second have to be read" in kdbench("run", *words).out
    resident = kdbench("run", "--grid", "quick", "--results", tmp_path / "results", "--dry-run", "--json")
    assert json.loads(resident.out)["images_per_second"] is None


def test_a_table_with_top5_of_more_than_20_classes(grid, tmp_path):
    done = kdbench("run", "--grid", grid, "--results", tmp_path / "results")
    assert done.code == 0, done.err
    cells = json.loads(kdbench("table", "--grid", grid, "--results", tmp_path / "results", "--json").out)
    assert [cell["status"] for cell in cells] == ["complete"] * 3
    for cell in cells:
        (top1,), (top5,) = cell["top1_last"]["values"], cell["top5_last"]["values"]
        assert top1 <= top5 <= 100 and f"top-5 {top5:.2f}" in done.out


def test_a_recipe_that_says_no_size_is_refused(grid, tmp_path):
    words = "--grid", grid, "--results", tmp_path / "results"
    refused = kdbench(
        "run", *words, "--set", "recipe.augmentation.size=null", "--set", "recipe.augmentation.resize=null"
    )
    assert refused.code == 2 and "recipe.augmentation.size=224" in refused.err


def test_an_imported_network_is_measured_on_them(grid, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(load_plugins().architecture("resnet8").build(21).state_dict(), weights)
    words = "--arch", "resnet8", "--num-classes", 21, "--dataset", f"imagefolder:{grid.parent}"
    told = kdbench("teachers", "import", weights, *words)
    assert told.code == 0 and "% top-1, " in told.out and "% top-5" in told.out
