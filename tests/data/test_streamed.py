"""Data sets that are listed: what they have in common with torchvision's ImageFolder, their digest, their splits."""

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from kdbench.data import (
    BUILTIN_SOURCES,
    DatasetInfo,
    Folder,
    Holdout,
    ImageFolder,
    Parquet,
    StreamedDataset,
    make_streamed_dataset,
    resolve_dataset,
)
from kdbench.data import class_folders as module
from kdbench.data.lookup import beside
from kdbench.data.stratified import stratified
from kdbench.data.streamed import ImageSplit, Part, resident
from kdbench.inputs.errors import UserError
from tests.data.support import jpeg, random_split, write_jpegs, write_parquet, write_split

CLASSES = ("ant", "bee", "cat")
SOURCES = {source.name: source for source in BUILTIN_SOURCES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_jpegs(tmp_path / "pets")


def load(folder: Path, kind=ImageFolder) -> StreamedDataset:
    dataset = kind().with_argument(str(folder)).load(None)
    assert isinstance(dataset, StreamedDataset)
    return dataset


def digest(folder: Path) -> str:
    """The documented digest, found another way."""
    lines = []
    for split in ("train", "val"):
        files = [path for name in CLASSES for path in sorted((folder / split / name).iterdir())]
        rows = [(path, CLASSES.index(path.parent.name), path.relative_to(folder).as_posix()) for path in files]
        lines += [str(len(rows)), *(f"{path.stat().st_size} {label} {name}" for path, label, name in rows)]
    return hashlib.sha256("".join(f"{line}\0" for line in lines).encode()).hexdigest()


def test_it_lists_what_torchvision_lists_and_decodes_the_same_pixels(folder: Path) -> None:
    from torchvision.datasets import ImageFolder as Theirs

    dataset = load(folder)
    for split, name in ((dataset.train, "train"), (dataset.test, "val")):
        theirs = Theirs(str(folder / name))
        assert tuple(theirs.classes) == dataset.classes and theirs.targets == split.labels.tolist()
        assert [str(folder / split.name(row)) for row in range(len(split))] == [path for path, _ in theirs.samples]
        for row, (image, _) in enumerate(theirs):
            np.testing.assert_array_equal(np.asarray(image), np.asarray(split.decode(row)))


def test_it_lists_files_of_the_endings_that_torchvision_lists() -> None:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    assert set(module.ENDINGS) == set(IMG_EXTENSIONS)


def test_nothing_is_read_and_what_is_known_is_of_names_sizes_and_labels(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = digest(folder)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("read"))
    dataset = load(folder)
    assert dataset.info == DatasetInfo(f"pets@{expected[:8]}", 3, None, 12, 6, expected)
    assert ImageFolder().with_argument(str(folder)).info(None) == dataset.info
    assert dataset.mean == (0.485, 0.456, 0.406) and dataset.std == (0.229, 0.224, 0.225)
    assert dataset.notes == (f"read from {folder}: train for training, val for testing",)


def test_the_digest_is_another_for_another_name_size_or_label(folder: Path) -> None:
    before = load(folder).checksum
    path = folder / "train/ant/0.jpg"
    path.write_bytes(path.read_bytes() + b"x")
    longer = load(folder).checksum
    path.rename(path.with_name("00.jpg"))
    renamed = load(folder).checksum
    (folder / "train/ant/00.jpg").rename(folder / "train/bee/00.jpg")
    assert len({before, longer, renamed, load(folder).checksum}) == 4


def test_a_split_goes_to_another_process_and_is_small(folder: Path) -> None:
    split = load(folder).train
    sent = pickle.dumps(split)
    assert len(sent) < sum(path.stat().st_size for path in (folder / "train").rglob("*.jpg"))
    there = pickle.loads(sent)
    assert torch.equal(there.labels, split.labels) and there.read(7) == split.read(7)


def test_a_file_that_changed_since_it_was_listed_is_named(folder: Path) -> None:
    split = load(folder).train
    path = folder / "train/bee/1.jpg"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=f"{path} has .* bytes, and had .* when it was listed; run again"):
        split.read(5)
    path.unlink()
    with pytest.raises(UserError, match=rf"{path} cannot be read \(No such file"):
        split.read(5)
    (folder / "train/bee/2.jpg").write_bytes(b"x" * (folder / "train/bee/2.jpg").stat().st_size)
    with pytest.raises(UserError, match=r"train/bee/2.jpg: bad image: its .* bytes are no JPEG.*; mend it or leave it"):
        split.decode(6)


def test_names_of_any_bytes_are_read(folder: Path) -> None:
    name = os.fsdecode(b"\xff \xc3\xa4.jpg")
    try:
        (folder / "train/ant" / name).write_bytes(jpeg(5, 6))
    except OSError:
        pytest.skip("this file system takes names of UTF-8 alone")
    split = load(folder).train
    row = [split.name(row) for row in range(len(split))].index(f"train/ant/{name}")
    assert split.decode(row).size == (5, 6)


@pytest.mark.parametrize("kind", ["folder", "imagefolder"])
def test_empty_classes_are_refused_unless_asked_for(folder: Path, kind: str) -> None:
    (folder / "train/boa").mkdir()
    with pytest.raises(UserError, match=r"train/boa has no file that ends in .*allow_empty:folder:DIR"):
        resolve_dataset(f"{kind}:{folder}", SOURCES).load(None)
    source = resolve_dataset(f"Allow_Empty:{kind}:{folder}", SOURCES)
    dataset = source.load(None)
    assert source.name == f"allow_empty:{kind}:{folder}" and source.info(None) == dataset.info
    assert dataset.classes == ("ant", "bee", "boa", "cat")
    assert dataset.train.labels.unique().tolist() == [0, 1, 3]
    assert dataset.notes[1] == "classes without a training image: boa (label 2)"


def test_only_folders_of_classes_may_be_empty(folder: Path) -> None:
    within = resolve_dataset(f"holdout:allow_empty:imagefolder:{write_jpegs(folder / 'more', train=10)}", SOURCES)
    assert within.load(None).info.train_size == 27
    assert beside("allow_empty:folder:pets", Path("/there"), SOURCES) == "allow_empty:folder:/there/pets"
    for spec, wrong in (
        ("allow_empty:digits", "'digits' has no folders of classes that could be empty; write allow_empty:folder:DIR"),
        ("allow_empty:", "'allow_empty' needs image folders; write allow_empty:folder:DIR"),
    ):
        with pytest.raises(UserError, match=wrong):
            resolve_dataset(spec, SOURCES)
    for call in (SOURCES["allow_empty"].info, SOURCES["allow_empty"].load):
        with pytest.raises(UserError, match="'allow_empty' needs image folders"):
            call(None)


@pytest.mark.parametrize("kind", [Folder, Parquet])
def test_images_of_unequal_sizes_are_streamed(folder: Path, kind) -> None:
    if kind is Parquet:
        splits = {name: sorted((folder / name).rglob("*.jpg")) for name in ("train", "val")}
        for name, paths in splits.items():
            labels = [CLASSES.index(path.parent.name) for path in paths]
            write_parquet(folder / f"{name}.parquet", [path.read_bytes() for path in paths], labels, names=[*CLASSES])
    source = kind().with_argument(str(folder))
    dataset = source.load(None)
    assert isinstance(dataset, StreamedDataset) and source.info(None) == dataset.info
    expected = load(folder)
    assert dataset.classes == expected.classes
    for split, of in ((dataset.train, expected.train), (dataset.test, expected.test)):
        assert torch.equal(split.labels, of.labels)
        assert [split.read(row) for row in range(len(split))] == [of.read(row) for row in range(len(of))]
    if kind is Folder:
        assert dataset.info == expected.info
    else:
        assert dataset.test.name(3) == "val.parquet, row 3"


def test_one_image_of_another_size_is_enough(tmp_path: Path) -> None:
    write_split(tmp_path / "train.parquet", random_split(20, 6))
    write_split(tmp_path / "test.parquet", random_split(9, 7))
    assert isinstance(Parquet().with_argument(str(tmp_path)).load(None), StreamedDataset)


def test_rows_are_read_in_any_order_and_each_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdbench.data.shard.CHUNK", 3)
    images = [jpeg(8 + number, 9, number) for number in range(30)]
    write_parquet(tmp_path / "train-00000-of-00002.parquet", images[:16], [number % 3 for number in range(16)])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", images[16:], [number % 3 for number in range(14)])
    write_parquet(tmp_path / "test.parquet", images[:3], [0, 1, 2])
    split = load(tmp_path, Parquet).train
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0)).tolist()
    assert [split.read(row) for row in order] == [images[row] for row in order]
    assert split.where(17) == f"{tmp_path}/train-00001-of-00002.parquet, row 1"
    write_parquet(tmp_path / "train-00001-of-00002.parquet", images[16:29], [0] * 13)
    with pytest.raises(UserError, match=r"of-00002.parquet has .* bytes, and had .* when it was listed; run again"):
        split.read(17)


@pytest.mark.parametrize("label", [3, -1, 2**63 + 1])
def test_labels_of_listed_rows_are_within_the_classes(tmp_path: Path, label: int) -> None:
    images = [jpeg(8 + number, 9) for number in range(3)]
    kind = pa.uint64() if label > 0 else pa.int64()
    write_parquet(tmp_path / "train.parquet", images, [0, label, 1], names=[*CLASSES], label_type=kind)
    write_parquet(tmp_path / "test.parquet", images, [0, 1, 2], names=[*CLASSES])
    with pytest.raises(UserError, match=rf"train.parquet, row 1: label {label} is not within 0\.\.2"):
        load(tmp_path, Parquet)


def test_the_digest_of_rows_is_that_of_files_and_labels(tmp_path: Path) -> None:
    labels = {"train": [2, 0, 1, 1], "test": [1, 2, 0]}
    expected = hashlib.sha256()
    for name, numbers in labels.items():
        path = tmp_path / f"{name}.parquet"
        write_parquet(path, [jpeg(8 + number, 9) for number in range(len(numbers))], numbers)
        expected.update(f"{len(numbers)} {path.stat().st_size} {path.name}\0".encode())
        expected.update(b"".join(number.to_bytes(8, "little") for number in numbers))
    assert load(tmp_path, Parquet).checksum == expected.hexdigest()


def test_large_row_groups_are_said_to_be_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train", "test"):
        write_parquet(tmp_path / f"{name}.parquet", [jpeg(8 + number, 9) for number in range(8)], [0, 1] * 4)
    assert len(load(tmp_path, Parquet).notes) == 1
    monkeypatch.setattr("kdbench.data.parquet.MANY_ROWS", 6)
    assert "row groups have up to 7 rows" in load(tmp_path, Parquet).notes[1]


def test_a_hold_out_is_a_part_of_the_training_images(folder: Path) -> None:
    source = Holdout().of(ImageFolder().with_argument(str(write_jpegs(folder / "more", train=10))))
    whole, part = load(folder / "more"), source.load(None)
    assert isinstance(part, StreamedDataset) and part.info == source.info(None)
    assert part.info.checksum == hashlib.sha256(f"holdout {whole.checksum}".encode()).hexdigest()
    train, held = stratified(whole.train.labels.tolist(), 27)
    for split, rows in ((part.train, train), (part.test, held)):
        assert torch.equal(split.labels, whole.train.labels[rows])
        assert [split.name(row) for row in range(len(split))] == [whole.train.name(row) for row in rows]
        assert split.read(0) == whole.train.read(rows[0]) and split.where(1) == whole.train.where(rows[1])


class Made(ImageSplit):
    """Images that are made."""

    def __init__(self, labels: list[int]):
        self.labels = torch.tensor(labels)

    def read(self, index: int) -> bytes:
        return jpeg(9, 8, index)

    def name(self, index: int) -> str:
        return f"number {index}"


def test_splits_must_agree_with_what_is_said_of_them() -> None:
    info = DatasetInfo("made", 3, None, 3, 2, "0" * 64)
    dataset = make_streamed_dataset(info, CLASSES, Made([0, 1, 1]), Made([2, 0]), notes=["made"])
    assert dataset.notes == (
        "made",
        "classes without a training image: cat (label 2)",
        "classes without a test image: bee (label 1)",
    )
    assert dataset.train.where(1) == "number 1" and len(Part(dataset.train, torch.tensor([2, 0]))) == 2
    for classes, train, wrong in (
        (CLASSES[:2], [0, 1, 1], "classes are 2 names, but must be 3"),
        (CLASSES, [0, 1], r"train labels are torch.int64 \[2\], but must be torch.int64 \[3\]"),
        (CLASSES, [0, 1, 3], r"train labels are from 0 to 3, but must be within 0\.\.2"),
    ):
        with pytest.raises(UserError, match=wrong):
            make_streamed_dataset(info, classes, Made(train), Made([2, 0]))


def test_what_needs_a_size_or_memory_says_so(folder: Path) -> None:
    dataset = load(folder)
    with pytest.raises(UserError, match=r"has images of several sizes; say to which .*recipe.augmentation.size=224"):
        _ = dataset.info.side
    with pytest.raises(UserError, match="is streamed from its files, and this works with images in memory only"):
        resident(dataset)
