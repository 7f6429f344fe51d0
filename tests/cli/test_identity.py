"""Names are no identities: results of one data set are never shown for another that is called so."""

import json
from pathlib import Path

import pytest
import torch

from kdbench.data import Split
from tests.cli.support import kdbench, tiny_grid
from tests.data.support import png, random_split, write_split

TINY = ("--methods", "student", "--seeds", "0", "--set", "recipe.epochs=1", "--set", "recipe.max_steps=1")


def write(place: Path, classes: int, side: int = 8) -> Path:
    for which, size in (("train", 20), ("test", 10)):
        split = random_split(size, side, classes)
        for number, (image, label) in enumerate(zip(split.images.numpy(), split.labels.tolist(), strict=True)):
            path = place / which / f"c{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return place


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tiny_grid(tmp_path)


def test_two_folders_of_one_name_share_a_results_folder_and_no_result(files: Path, tmp_path: Path) -> None:
    one, two = write(tmp_path / "one/digits", 3), write(tmp_path / "two/digits", 4)
    first = kdbench("run", "--grid", files, *TINY, "--dataset", f"folder:{one}", "--results", "r")
    assert first.code == 0, first
    name = next(line.split(",")[0].split()[-1] for line in first.out.splitlines() if line.startswith("data: "))
    assert name.startswith("digits@")
    assert f"data: {name}, 20 training and 10 test images of 3 classes, 8×8 pixels" in first.out
    assert f"  read from {one}: train for training, test for testing" in first.out
    other = kdbench("table", "--grid", files, *TINY, "--dataset", f"folder:{two}", "--results", "r")
    said = f"r also holds results of other data called 'digits' (1 of {name}); yours are digits@"
    assert other.code == 0 and said in other.err and "no result: not run" in other.out
    built_in = kdbench("table", "--grid", files, *TINY, "--results", "r")
    assert "yours are digits, and the others are left out" in built_in.err and "no result: not run" in built_in.out
    assert kdbench("run", "--grid", files, *TINY, "--dataset", f"folder:{two}", "--results", "r").code == 0
    again = kdbench("run", "--grid", files, *TINY, "--dataset", f"folder:{one}", "--results", "r")
    assert "Nothing to train: " in again.out
    shown = json.loads(
        kdbench("table", "--grid", files, *TINY, "--dataset", f"folder:{one}", "--results", "r", "--json").out
    )
    assert shown[0]["dataset"] == name
    assert f"(here on {name}, after 1 epoch)" in first.out


def test_a_folder_called_cifar100_has_no_number_of_the_papers(files: Path, tmp_path: Path) -> None:
    write(tmp_path / "mine/cifar100", 2, side=32)
    shown = kdbench(
        "table",
        "--grid",
        "cifar100",
        "--tables",
        "table1",
        "--pairs",
        "wrn_40_2:wrn_16_2",
        "--methods",
        "student",
        "--dataset",
        "folder:mine/cifar100",
    )
    assert shown.code == 0 and "paper 73" not in shown.out and "here on cifar100@" in shown.out


def test_a_changed_folder_is_other_data(files: Path, tmp_path: Path) -> None:
    place = write(tmp_path / "mine", 3)
    options = ("--grid", files, *TINY, "--dataset", f"folder:{place}", "--results", "r")
    assert kdbench("run", *options).code == 0
    (place / "train/c0/0.png").write_bytes(png(random_split(1, 8).images[0].numpy()))
    changed = kdbench("table", *options)
    assert "also holds results of other data called 'mine'" in changed.err and "no result: not run" in changed.out


def test_a_relative_folder_in_a_grid_is_beside_the_grid(files: Path, tmp_path: Path) -> None:
    write(tmp_path / "grids/images", 3)
    grid = tmp_path / "grids/mine.yaml"
    for spec in ("folder:images", "holdout:folder:images", f"folder:{tmp_path}/grids/images"):
        grid.write_text(files.read_text().replace("dataset: digits", f"dataset: {spec}"))
        planned = kdbench("run", "--grid", grid, *TINY, "--dry-run", "--json")
        assert planned.code == 0 and json.loads(planned.out)["dataset"].startswith("images@"), planned
    # On the command line it is meant from where one stands.
    assert kdbench("run", "--grid", grid, *TINY, "--dry-run", "--dataset", "folder:images").code == 2


def test_doctor_says_what_training_would_read(files: Path, tmp_path: Path) -> None:
    split = random_split(10, 8)
    write_split(tmp_path / "mine/train.parquet", split)
    write_split(tmp_path / "mine/test.parquet", Split(split.images, torch.zeros(10, dtype=torch.int64)))
    told = kdbench("doctor", "--dataset", "parquet:mine", "--results", "none")
    assert told.code == 0 and "10 training and 10 test images of 5 classes, 8×8 pixels" in told.out
    assert "  read from mine: train.parquet for training, test.parquet for testing" in told.out.replace(
        f"{tmp_path}/", ""
    )
    assert "  classes without a test image: 1 (label 1), 2 (label 2)" in told.out
    plain = json.loads(kdbench("doctor", "--dataset", "parquet:mine", "--results", "none", "--json").out)
    assert plain["read"]["train_size"] == 10 and plain["read"]["checksum"].startswith(plain["read"]["name"][-8:])
    assert kdbench("doctor", "--dataset", "parquet:none", "--results", "none").code == 2


def test_reading_commands_decode_nothing_that_is_known(files: Path, tmp_path: Path, monkeypatch) -> None:
    from PIL import Image

    from kdbench.data import remember

    monkeypatch.setattr(remember, "SETTLED", -60.0)
    place = write(tmp_path / "mine", 3)
    assert kdbench("table", "--grid", files, *TINY, "--dataset", f"folder:{place}").code == 0
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    for command in ("table", "stats"):
        assert kdbench(command, "--grid", files, *TINY, "--dataset", f"folder:{place}").code == 0
