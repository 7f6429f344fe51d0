"""ImageNet and CUB-200 in the layouts that they are published in, made small."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from kdbench.data import BUILTIN_SOURCES, Cub200, DatasetInfo, ImageNet, StreamedDataset, resolve_dataset
from kdbench.data import imagenet_devkit as devkit
from kdbench.inputs.errors import UserError
from tests.data.support import jpeg

TINY = DatasetInfo("tiny_imagenet", num_classes=200, input_size=None, train_size=100_000, test_size=10_000)
SOURCES = {source.name: source for source in BUILTIN_SOURCES}
SYNSETS = ("n01440764", "n01443537", "n01484850")
#: Labels of the validation images 1 to 5, as places in SYNSETS.
TRUTH = (1, 2, 0, 0, 1)


def load(spec: str, data_dir: Path | None = None) -> StreamedDataset:
    source = resolve_dataset(spec, SOURCES)
    dataset = source.load(data_dir)
    assert isinstance(dataset, StreamedDataset) and source.info(data_dir) == dataset.info
    return dataset


def train_images(folder: Path) -> None:
    for label, synset in enumerate(SYNSETS):
        (folder / "train" / synset).mkdir(parents=True)
        for number in (7, 12):
            path = folder / "train" / synset / f"{synset}_{number}.JPEG"
            path.write_bytes(jpeg(10 + number, 10 + label, number))


def val_image(folder: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ILSVRC2012_val_{number:08}.JPEG").write_bytes(jpeg(9 + number, 9, 20 + number))


def by_class(folder: Path) -> None:
    train_images(folder)
    for number, label in enumerate(TRUTH, start=1):
        val_image(folder / "val" / SYNSETS[label], number)


def flat(folder: Path) -> None:
    train_images(folder)
    for number in range(1, 6):
        val_image(folder / "val", number)


def with_devkit(folder: Path, place: str = "ILSVRC2012_devkit_t12/data") -> None:
    flat(folder)
    (folder / place).mkdir(parents=True, exist_ok=True)
    # Numbers in another order than the synsets' names, and one of a node above them.
    numbers = {SYNSETS[0]: 3, SYNSETS[1]: 1, SYNSETS[2]: 2, "n00001740": 1001}
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    rows = np.array([(number, name, "words", 0) for name, number in numbers.items()], dtype=kinds)
    savemat(folder / place / "meta.mat", {"synsets": rows.reshape(-1, 1)}, do_compression=True)
    lines = [str(numbers[SYNSETS[label]]) for label in TRUTH]
    (folder / place / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines) + "\n")


def kaggle(folder: Path) -> None:
    flat(folder / "ILSVRC/Data/CLS-LOC")
    rows = [
        f"ILSVRC2012_val_{n:08},{SYNSETS[label]} 1 2 3 4 {SYNSETS[label]} 5 6 7 8 " for n, label in enumerate(TRUTH, 1)
    ]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows[::-1]]) + "\n")


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "by class": by_class,
    "devkit": with_devkit,
    "devkit's files beside": lambda folder: with_devkit(folder, "."),
    "Kaggle's": kaggle,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_data_set(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    LAYOUTS[layout](tmp_path / "images")
    by_class(tmp_path / "other")
    monkeypatch.setattr(ImageNet, "official", DatasetInfo("imagenet", 3, None, 6, 5))
    dataset, expected = load(f"imagenet:{tmp_path}/images"), load(f"imagenet:{tmp_path}/other")
    assert dataset.info == expected.info and dataset.info.name == "imagenet"
    assert dataset.classes == SYNSETS
    assert dataset.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.test.labels.tolist() == [*TRUTH]
    for split, of in ((dataset.train, expected.train), (dataset.test, expected.test)):
        assert [split.read(row) for row in range(len(split))] == [of.read(row) for row in range(len(of))]
    assert dataset.test.name(2).endswith("ILSVRC2012_val_00000003.JPEG")


@pytest.mark.parametrize(("name", "sizes"), [("imagenet", (1000, 1_281_167, 50_000)), ("cub200", (200, 5994, 5794))])
def test_it_is_known_without_its_images(tmp_path: Path, name: str, sizes: tuple[int, int, int]) -> None:
    classes, train, test = sizes
    source = SOURCES[name]
    assert source.info(tmp_path) == source.known(tmp_path) == DatasetInfo(name, classes, None, train, test)
    assert not source.available(tmp_path) and f"{tmp_path / name}: missing" in source.locations(tmp_path)
    with pytest.raises(UserError, match=rf"'{name}' is not in {tmp_path / name}; name its folder, as in {name}:DIR"):
        source.load(tmp_path)
    assert SOURCES["holdout"].of(source).info(tmp_path).test_size == train // 10  # type: ignore[attr-defined]


def test_a_part_of_it_has_a_name_of_its_own(tmp_path: Path) -> None:
    by_class(tmp_path / "imagenet")
    dataset = load("imagenet", tmp_path)
    assert dataset.info.name == f"imagenet@{dataset.checksum[:8]}"
    assert "not the whole of imagenet (1,281,167 training and 50,000 test images of 1000 classes)" in dataset.notes[1]


def test_other_folders_of_as_many_images_are_not_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_class(tmp_path / "mine")
    for split in ("train", "val"):
        (tmp_path / "mine" / split / SYNSETS[0]).rename(tmp_path / "mine" / split / "ant")
    monkeypatch.setattr(ImageNet, "official", DatasetInfo("imagenet", 3, None, 6, 5))
    assert load(f"imagenet:{tmp_path}/mine").info.name.startswith("mine@")


def test_a_flat_val_needs_its_labels(tmp_path: Path) -> None:
    flat(tmp_path)
    with pytest.raises(UserError, match=r"val has no folders of classes.*put LOC_val_solution.csv, or"):
        load(f"imagenet:{tmp_path}")
    with pytest.raises(UserError, match="holds no folders train and val, nor Kaggle's"):
        load(f"imagenet:{tmp_path / 'train'}")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda data: (data / "meta.mat").unlink(), r"meta.mat cannot be read \(No such file.*what the numbers"),
        (lambda data: (data / "meta.mat").write_bytes(b"x" * 500), "meta.mat holds no table of synsets"),
        (lambda data: savemat(data / "meta.mat", {"other": 1}), "meta.mat holds no table of synsets"),
        (lambda data: (data / devkit.TRUTH).write_text("1\n9\n"), "ground_truth.txt, line 2: it is the number of no"),
        (
            lambda data: (data / devkit.TRUTH).write_text("1\n1001\n"),
            "'n00001740' of ILSVRC2012_val_00000002.JPEG is no",
        ),
        (lambda data: (data / devkit.TRUTH).write_text("1\n" * 6), r"val_00000006.JPEG cannot be read \(No such file"),
        (lambda data: (data / devkit.TRUTH).write_text(""), "names 0 images"),
    ],
)
def test_a_damaged_devkit_is_refused(tmp_path: Path, break_it: Callable[[Path], object], message: str) -> None:
    with_devkit(tmp_path)
    break_it(tmp_path / "ILSVRC2012_devkit_t12/data")
    with pytest.raises(UserError, match=message):
        load(f"imagenet:{tmp_path}")


@pytest.mark.parametrize("line", ["ILSVRC2012_val_00000001,", "../secret,n01440764 1 2 3 4", "a,b,c"])
def test_a_damaged_solution_is_refused(tmp_path: Path, line: str) -> None:
    kaggle(tmp_path)
    (tmp_path / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\n{line}\n")
    with pytest.raises(UserError, match=r"LOC_val_solution.csv, line 2: it names no image and its synset"):
        load(f"imagenet:{tmp_path}")


#: Class, file and whether it is for training.
BIRDS = (
    ("001.Albatross", "a_1.jpg", 1),
    ("001.Albatross", "a_2.jpg", 0),
    ("002.Auk", "b_1.jpg", 0),
    ("002.Auk", "b_2.jpg", 1),
)


def birds(folder: Path) -> Path:
    """The archive's layout; the folder of its tables."""
    tables = folder / "CUB_200_2011"
    for number, (name, file, _) in enumerate(BIRDS):
        (tables / "images" / name).mkdir(parents=True, exist_ok=True)
        (tables / "images" / name / file).write_bytes(jpeg(12 + number, 10, number))
    for name, words in (
        ("classes.txt", ["001.Albatross", "002.Auk"]),
        ("images.txt", [f"{name}/{file}" for name, file, _ in BIRDS]),
        ("image_class_labels.txt", [str(int(name[:3])) for name, *_ in BIRDS]),
        ("train_test_split.txt", [str(training) for *_, training in BIRDS]),
    ):
        (tables / name).write_text("".join(f"{number} {word}\n" for number, word in enumerate(words, start=1)))
    return tables


def test_birds_come_as_their_own_files_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = birds(tmp_path / "birds")
    monkeypatch.setattr(Cub200, "official", replace(Cub200.official, num_classes=2, train_size=2, test_size=2))
    dataset = load(f"cub200:{tmp_path}/birds")
    assert dataset.info.name == "cub200" and dataset.classes == ("001.Albatross", "002.Auk")
    assert dataset.info == load(f"cub200:{tables}").info
    for split, expected in ((dataset.train, [BIRDS[0], BIRDS[3]]), (dataset.test, [BIRDS[1], BIRDS[2]])):
        assert split.labels.tolist() == [int(name[:3]) - 1 for name, *_ in expected]
        assert [split.name(row) for row in range(2)] == [
            f"CUB_200_2011/images/{name}/{file}" for name, file, _ in expected
        ]
        assert [split.read(row) for row in range(2)] == [
            (tables / "images" / name / file).read_bytes() for name, file, _ in expected
        ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images.txt", "1 ../../secret.jpg\n", r"'\.\./\.\./secret.jpg' leads out of images"),
        ("images.txt", "1 /etc/passwd\n", "'/etc/passwd' leads out of images"),
        ("images.txt", "one\n", "images.txt, line 1: it is no number and a word behind"),
        ("images.txt", "9 001.Albatross/a_1.jpg\n", "image 9 of images.txt has no label or split"),
        ("image_class_labels.txt", "1 1\n2 3\n", "image_class_labels.txt: '3' of 2 is not among its values"),
        ("train_test_split.txt", "1 yes\n", "train_test_split.txt: 'yes' of 1 is not among its values"),
        ("train_test_split.txt", "1 1\n2 1\n3 1\n4 1\n", "train_test_split.txt has for testing 0 images"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (birds(tmp_path) / name).write_text(text)
    with pytest.raises(UserError, match=message):
        load(f"cub200:{tmp_path}")


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path} holds neither images.txt nor CUB_200_2011; check the path"):
        load(f"cub200:{tmp_path}")
    (birds(tmp_path) / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"classes.txt is no file; put it there anew"):
        load(f"cub200:{tmp_path}")


def test_tiny_imagenet_is_read_as_its_archive_has_it(tmp_path: Path) -> None:
    train_images(tmp_path)
    for number in range(1, 6):
        val_image(tmp_path / "val/images", number)
    lines = [f"ILSVRC2012_val_{n:08}.JPEG\t{SYNSETS[label]}\t0\t0\t9\t9" for n, label in enumerate(TRUTH, start=1)]
    (tmp_path / "val/val_annotations.txt").write_text("\n".join(lines), encoding="utf-8")
    dataset = load(f"tiny_imagenet:{tmp_path}")
    assert dataset.test.labels.tolist() == list(TRUTH) and len(dataset.train) == 6
    # Three of its 200 classes are somebody's own data.
    assert dataset.info.name.startswith(f"{tmp_path.name}@") and "not the whole of tiny_imagenet" in dataset.notes[-1]
    assert SOURCES["tiny_imagenet"].info(tmp_path / "nothing") == TINY
