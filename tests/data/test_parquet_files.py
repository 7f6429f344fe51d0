"""Which parquet files are read, in the layouts of Hugging Face's hub and those that people make."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kdbench.data import Dataset, Parquet
from kdbench.inputs.errors import UserError
from tests.data.support import png, png_of_16_bits, random_split, write_parquet, write_split

TRAIN, TEST = random_split(20, 6), random_split(9, 6)


def load(folder: Path) -> Dataset:
    return Parquet().with_argument(str(folder)).load(None)


def refused(folder: Path, *said: str) -> None:
    with pytest.raises(UserError) as error:
        load(folder)
    assert [word for word in said if word not in str(error.value)] == [], str(error.value)


def expected(tmp_path: Path) -> str:
    write_split(tmp_path / "plain/train.parquet", TRAIN)
    write_split(tmp_path / "plain/test.parquet", TEST)
    return load(tmp_path / "plain").checksum


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-00000-of-00001.parquet", "val-00000-of-00001.parquet"),
        ("train.parquet", "validation.parquet"),
        ("data/train-00000-of-00001-0a1b2c3d.parquet", "data/test-00000-of-00001-4e5f6a7b.parquet"),
        ("plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("train/0000.parquet", "validation/0000.parquet"),
    ],
)
def test_every_layout_is_read(tmp_path: Path, train: str, test: str) -> None:
    checksum = expected(tmp_path)
    write_split(tmp_path / "set" / train, TRAIN)
    write_split(tmp_path / "set" / test, TEST)
    dataset = load(tmp_path / "set")
    assert dataset.checksum == checksum
    place = (tmp_path / "set" / train).parent
    place = place.parent if place.name == "train" else place
    names = Path(train).name, Path(test).name
    assert dataset.notes == (f"read from {place}: {names[0]} for training, {names[1]} for testing",)


def test_test_counts_before_validation(tmp_path: Path) -> None:
    for name, split in (("train", TRAIN), ("validation", TRAIN), ("test", TEST)):
        write_split(tmp_path / f"{name}.parquet", split)
    assert load(tmp_path).info.test_size == len(TEST.labels)


def test_several_configurations_are_named(tmp_path: Path) -> None:
    for name in ("fine", "coarse"):
        write_split(tmp_path / name / "train.parquet", TRAIN)
        write_split(tmp_path / name / "test.parquet", TEST)
    refused(tmp_path, "holds several configurations (coarse, fine)", f"as in parquet:{tmp_path}/NAME")


def unlabelled(path: Path, labels: Sequence[int | None]) -> None:
    write_parquet(path, [png(image.numpy()) for image in TEST.images], list(labels))


@pytest.mark.parametrize("labels", [[-1] * 9, [None] * 9])
def test_a_test_split_without_labels_is_left_out_for_a_validation_split(
    tmp_path: Path, labels: Sequence[int | None]
) -> None:
    write_split(tmp_path / "train.parquet", TRAIN)
    unlabelled(tmp_path / "test.parquet", labels)
    refused(tmp_path, "no held-out images have labels (test.parquet has no label from 0", "validation*.parquet")
    write_split(tmp_path / "validation.parquet", random_split(7, 6))
    dataset = load(tmp_path)
    assert dataset.info.test_size == 7 and dataset.notes[1] == "test.parquet has no label from 0 and is left out"


def test_a_test_split_without_a_column_of_labels_is_left_out(tmp_path: Path) -> None:
    write_split(tmp_path / "train.parquet", TRAIN)
    write_split(tmp_path / "test.parquet", TEST, columns=("image", "file"))
    write_split(tmp_path / "valid.parquet", random_split(7, 6))
    dataset = load(tmp_path)
    assert dataset.info.test_size == 7 and dataset.notes[1] == "test.parquet has no labels and is left out"


def test_some_labels_of_minus_one_are_a_mistake(tmp_path: Path) -> None:
    write_split(tmp_path / "train.parquet", TRAIN)
    unlabelled(tmp_path / "test.parquet", [0, 1, 2, -1, 0, 1, 2, 3, 4])
    refused(tmp_path, "test.parquet, row 3: label -1 is not within 0..4")


@pytest.mark.parametrize("other", ["train.parquet", "train (1).parquet", "train-00000-of-00002.parquet"])
def test_images_that_would_count_twice_are_refused(tmp_path: Path, other: str) -> None:
    write_split(tmp_path / "train-00000-of-00001.parquet", TRAIN)
    write_split(tmp_path / "test.parquet", TEST)
    write_split(tmp_path / other, TRAIN)
    if other.endswith("2.parquet"):
        write_split(tmp_path / "train-00001-of-00002.parquet", TEST)
    refused(tmp_path, "may hold the same images, which would count twice")


def test_a_copy_beside_its_original_is_refused(tmp_path: Path) -> None:
    for name in ("train_a.parquet", "train_b.parquet", "test.parquet"):
        write_split(tmp_path / name, TRAIN)
    refused(tmp_path, "train_a.parquet and ", "train_b.parquet are the same, which would count twice")
    write_split(tmp_path / "train_b.parquet", random_split(7, 6))
    assert load(tmp_path).info.train_size == 27


def test_what_is_there_instead_is_named(tmp_path: Path) -> None:
    write_split(tmp_path / "set/images.parquet", TRAIN)
    refused(tmp_path, "hold no train*.parquet with a test*.parquet or validation*.parquet", "but set/images.parquet")


def test_labels_from_one_leave_a_class_empty_and_that_is_said(tmp_path: Path) -> None:
    for name, split in (("train", TRAIN), ("test", TEST)):
        write_parquet(tmp_path / f"{name}.parquet", [png(i.numpy()) for i in split.images], (split.labels + 1).tolist())
    dataset = load(tmp_path)
    assert dataset.info.num_classes == 6
    assert dataset.notes[1:] == tuple(f"classes without a {which} image: 0 (label 0)" for which in ("training", "test"))


def test_one_class_is_refused(tmp_path: Path) -> None:
    for name, split in (("train", TRAIN), ("test", TEST)):
        write_parquet(tmp_path / f"{name}.parquet", [png(i.numpy()) for i in split.images], [0] * len(split.labels))
    refused(tmp_path, "has 1 class, and two are needed")


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6])
def test_16_bits_are_refused_in_colour_as_in_grey(tmp_path: Path, colour_type: int) -> None:
    write_parquet(tmp_path / "train.parquet", [png_of_16_bits(colour_type, 6)] * 2, [0, 1])
    write_split(tmp_path / "test.parquet", TEST)
    refused(tmp_path, "row 0: bad image: its channels are not of 8 bits", "convert it to 8 bits")


@pytest.mark.filterwarnings("error")
def test_a_palette_with_transparent_colours_is_read_without_a_warning(tmp_path: Path) -> None:
    images = [image.numpy() for image in TRAIN.images]
    for name, options in (("some", {"transparency": bytes([0, 128, 255] * 80)}), ("none", {})):
        encoded = [png(image, "P", **options) for image in images]
        write_parquet(tmp_path / name / "train.parquet", encoded, TRAIN.labels.tolist())
        write_split(tmp_path / name / "test.parquet", TEST)
    assert load(tmp_path / "some").checksum == load(tmp_path / "none").checksum
