"""`folder:DIR`: what is read, in which order, and what is refused with the file's name."""

import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdbench.data import Dataset, DatasetInfo, DatasetSource, files
from kdbench.data import class_folders as module
from kdbench.data.folder import Folder
from kdbench.inputs.errors import UserError
from tests.data.support import png, png_without_pixels, random_split

NAMES = ["ant", "bee", "cat", "dog", "elk"]
TRAIN, TEST = random_split(20, 6), random_split(9, 6)


def write(place: Path, split: torch.Tensor) -> None:
    """Images as files of the folders of their classes, numbered as they come."""
    for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
        path = place / NAMES[label] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image.numpy()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good data set in the folder `noise`."""
    write(tmp_path / "noise/train", TRAIN)
    write(tmp_path / "noise/test", TEST)
    return tmp_path / "noise"


def source(folder: Path) -> DatasetSource:
    return Folder().with_argument(str(folder))


def load(folder: Path) -> Dataset:
    return source(folder).load(None)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(folder)


def by_class(split):
    """(images, labels) in the order of the classes and, within one, of the files."""
    order = torch.tensor(sorted(range(len(split.labels)), key=lambda row: (int(split.labels[row]), row)))
    return split.images[order], split.labels[order]


def test_load_agrees_with_info_and_with_what_was_written(folder: Path) -> None:
    dataset = load(folder)
    name = f"noise@{dataset.checksum[:8]}"
    assert dataset.info == source(folder).info(None) == DatasetInfo(name, 5, 6, 20, 9, dataset.checksum)
    assert dataset.classes == tuple(NAMES)
    for ours, written in ((dataset.train, TRAIN), (dataset.test, TEST)):
        images, labels = by_class(written)
        assert torch.equal(ours.images, images) and torch.equal(ours.labels, labels)


def test_it_reads_what_torchvision_reads(folder: Path) -> None:
    from torchvision.datasets import ImageFolder

    theirs = ImageFolder(str(folder / "train"))
    ours = load(folder)
    assert tuple(theirs.classes) == ours.classes
    assert theirs.targets == ours.train.labels.tolist()
    for (image, _), row in zip(theirs, ours.train.images, strict=True):
        np.testing.assert_array_equal(np.asarray(image), row.numpy())


def test_order_is_not_the_file_systems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(folder).checksum
    scan = os.scandir
    monkeypatch.setattr(module.os, "scandir", lambda place: nullcontext([*scan(place)][::-1]))
    assert load(folder).checksum == expected


def test_folders_within_a_class_and_endings_in_capitals_count_and_other_files_do_not(folder: Path) -> None:
    expected = load(folder).checksum
    deeper = folder / "train/ant/more"
    deeper.mkdir()
    # Behind the files beside it in the order of paths, as it was.
    (folder / "train/ant/15.png").rename(deeper / "15.PNG")
    (folder / "train/ant/notes.txt").write_text("no image")
    (folder / "train/ant/._15.png").write_bytes(b"no image")
    (folder / "train/.cache").mkdir()
    assert load(folder).checksum == expected


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_counts_only_where_there_is_no_test(folder: Path, name: str) -> None:
    write(folder / name, TRAIN)
    assert source(folder).info(None).test_size == 9
    (folder / "test").rename(folder / "other")
    assert source(folder).info(None).test_size == 20


def test_a_test_set_may_lack_a_class_and_never_has_one_more(folder: Path) -> None:
    (folder / "test/bee").rename(folder / "test/yak")
    refused(folder, "test has a folder 'yak', which train has not; arrange both by the same classes")
    (folder / "test/yak").rename(folder / "yak")
    assert load(folder).test.labels.unique().tolist() == [0, 2, 3, 4]


def tiny_imagenet(folder: Path) -> Path:
    """The layout of its archive: unlabelled test images, validation images in one folder beside their labels."""
    write(folder / "train", TRAIN)
    lines = []
    for place, split in (("test/images", TEST), ("val/images", TEST)):
        (folder / place).mkdir(parents=True)
        for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
            (folder / place / f"val_{number}.JPEG").write_bytes(png(image.numpy()))
            lines.append(f"val_{number}.JPEG\t{NAMES[label]}\t0\t0\t5\t5")
    (folder / "val/val_annotations.txt").write_text("\n".join(lines[len(TEST.labels) :]) + "\n")
    return folder


def test_tiny_imagenets_validation_images_have_their_own_labels(tmp_path: Path) -> None:
    dataset = load(tiny_imagenet(tmp_path / "tiny"))
    info = source(tmp_path / "tiny").info(None)
    assert dataset.info == info == DatasetInfo(f"tiny@{dataset.checksum[:8]}", 5, 6, 20, 9, dataset.checksum)
    assert torch.equal(dataset.test.images, TEST.images) and torch.equal(dataset.test.labels, TEST.labels)


def test_tiny_imagenet_without_its_labels_is_refused_rather_than_one_class(tmp_path: Path) -> None:
    folder = tiny_imagenet(tmp_path / "tiny")
    (folder / "val/val_annotations.txt").rename(folder / "lost.txt")
    refused(folder, "test has a folder 'images', which train has not")


@pytest.mark.parametrize("line", ["val_0.JPEG", "val_0.JPEG\tyak\t0", ""])
def test_annotations_that_name_no_class_are_refused(tmp_path: Path, line: str) -> None:
    path = tiny_imagenet(tmp_path / "tiny") / "val/val_annotations.txt"
    path.write_text(f"val_1.JPEG\tbee\n{line}\nval_2.JPEG\tcat\n")
    refused(tmp_path / "tiny", f"{path}, line 2: it names no class of train behind a file; download it anew")


def test_annotations_that_are_far_too_long_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdbench.data.lines.MAX_LINES_BYTES", 100)
    refused(tiny_imagenet(tmp_path / "tiny"), "val_annotations.txt has more than 100 bytes, which are not read")


def test_annotated_image_that_is_missing_is_refused(tmp_path: Path) -> None:
    folder = tiny_imagenet(tmp_path / "tiny")
    (folder / "val/images/val_3.JPEG").unlink()
    refused(folder, r"val_3.JPEG cannot be read \(No such file or directory\); mend it or take it away")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it has no encoded bytes"),
        (png_without_pixels(6), "it has no pixels"),
        (b"not an image", "its 12 bytes are no JPEG, .*, GIF image"),
        (png(TRAIN.images[0].numpy())[:-30], "it cannot be decoded"),
    ],
)
def test_bad_image_is_named(folder: Path, data: bytes, reason: str) -> None:
    path = folder / "train/cat/12.png"
    path.write_bytes(data)
    refused(folder, f"{path}: bad image: {reason}.*; mend it or leave it out")


def test_a_file_that_is_far_too_long_is_not_read_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    monkeypatch.setattr("kdbench.data.decode.MAX_BYTES", 1000)
    (folder / "train/cat/12.png").write_bytes(bytes(5000))
    refused(folder, "it has more than 1,000 encoded bytes, which are not read")


def test_both_splits_and_an_image_in_each_class_are_needed(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "holds no folder train with one called test or val or valid or validation beside it")
    refused(tmp_path / ("x" * 5000), "has a name of more than 255 bytes")
    (folder / "train/yak").mkdir()
    refused(folder, r"train/yak has no file that ends in \.jpg, .*; take the folder away")
    (folder / "train").rename(folder / "old")
    refused(folder, "holds no folder train")
    (folder / "train").mkdir()
    refused(folder, "train has no folder of a class; put each class's images into one")


def test_a_split_of_nothing_or_of_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "test").rename(folder / "other")
    (folder / "test").mkdir()
    refused(folder, "test has 0 images; a split must have from 1")
    monkeypatch.setattr("kdbench.data.local.MAX_IMAGES", 19)
    refused(folder, "train has 20 images; a split must have from 1 to 19")


def test_links_count_and_links_to_nothing_are_refused(folder: Path) -> None:
    expected = load(folder).checksum
    (folder / "train/cat").rename(folder / "cats")
    (folder / "train/cat").symlink_to(folder / "cats")
    assert load(folder).checksum == expected
    (folder / "cats").rename(folder / "lost")
    refused(folder, "train/cat links to nothing; mend the link or take it away")


def test_a_link_to_a_folder_within_a_class_is_refused_rather_than_left_out(folder: Path) -> None:
    (folder / "train/cat/more").symlink_to(folder / "test/cat")
    refused(folder, "train/cat/more is a link to a folder within a class; put the folder itself there")


def test_hidden_files_and_folders_do_not_count(folder: Path) -> None:
    expected = load(folder).checksum
    (folder / "train/cat/.checkpoints").mkdir()
    (folder / "train/cat/.checkpoints/00.png").write_bytes(png(TRAIN.images[0].numpy()))
    (folder / "train/.lock").symlink_to("user@host")
    assert load(folder).checksum == expected


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_image_and_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "train/cat/00.png")
    refused(folder, "train/cat/00.png is no file; mend it or take it away")


def test_a_file_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def denied(path: Path, *how: Any, **named: Any) -> Any:
        if path.suffix == ".png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *how, **named)

    monkeypatch.setattr(Path, "open", denied)
    refused(folder, r"train/ant/00.png cannot be read \(Permission denied\)")


def test_a_folder_must_be_named() -> None:
    for call in (lambda: Folder().info(None), lambda: Folder().load(None), lambda: Folder().with_argument("")):
        with pytest.raises(UserError, match="'folder' needs a folder; write folder:DIR"):
            call()
    assert "folder:DIR" in Folder().locations(None)


def test_files_of_other_endings_are_left_out_and_said_to_be(folder: Path) -> None:
    expected = load(folder)
    assert expected.notes == (f"read from {folder}: train for training, test for testing",)
    for name in ("a.jxl", "b.JXL", "c.gif", "notes"):
        (folder / "train/ant" / name).write_bytes(b"")
    (folder / "test/bee/d.jxl").write_bytes(b"")
    dataset = load(folder)
    assert dataset.checksum == expected.checksum
    said = "5 files in folders of classes are left out (3 .jxl, 1 .gif, 1 without an ending): what ends in .jpg, "
    assert dataset.notes[1].startswith(said)


@pytest.mark.parametrize("place", ["test/images", "test"])
def test_unlabelled_test_images_are_left_out_for_labelled_validation_images(folder: Path, place: str) -> None:
    expected = load(folder).checksum
    (folder / "test").rename(folder / "val")
    (folder / place).mkdir(parents=True)
    (folder / place / "0.png").write_bytes(png(TEST.images[0].numpy()))
    dataset = load(folder)
    assert dataset.checksum == expected
    assert dataset.notes == (
        f"read from {folder}: train for training, val for testing",
        "test has no folder of a class and is left out",
    )


def test_one_class_is_refused_and_the_usual_reason_named(folder: Path) -> None:
    (folder / "train").rename(folder / "deeper")
    (folder / "train").mkdir()
    (folder / "deeper").rename(folder / "train/images")
    refused(folder, "train has one class only, 'images'.*put the folder of each class directly into train")


def test_classes_without_test_images_are_said(folder: Path) -> None:
    shutil.rmtree(folder / "test/bee")
    assert load(folder).notes[1:] == ("classes without a test image: bee (label 1)",)
