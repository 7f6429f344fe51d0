"""Data sets in folders of classes; the images in them are those of `parquet`."""

import functools
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.data.support import png_of_16_bits, png_without_pixels
from tests.inputs.corpus.cases import Executes, case
from tests.inputs.corpus.parquet import SOUND, claiming

CLASSES = ("ant", "bee")


def _data_set(damage: Callable[[Path], object], folder: Path, _: Path) -> Path:
    """A sound folder of both splits that `damage` has done its work on."""
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            (folder / split / name / "0.png").write_bytes(SOUND[number])
    damage(folder)
    return folder


def _image(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "train/bee/1.png").write_bytes(data)


def _annotations(content: bytes) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / "val").mkdir()
        (folder / "val/val_annotations.txt").write_bytes(content)

    return damage


def _loop(folder: Path) -> None:
    (folder / "train/cow").symlink_to(folder / "train/cow")


def _deeper(split: Path) -> None:
    split.rename(split.with_name("images"))
    split.mkdir()
    split.with_name("images").rename(split / "images")


def _flat(split: Path) -> None:
    split.mkdir()
    (split / "0.png").write_bytes(SOUND[0])


FOLDER: dict[str, Callable[[Path], object]] = {
    "image that claims 50,000 pixels a side": _image(claiming(50_000, 50_000)),
    "image with code": _image(pickle.dumps(Executes(Path("canary")))),
    "PostScript as image": _image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n(%pipe%mkdir canary) (w) file\n"),
    "image cut short": _image(SOUND[0][:-30]),
    "image of more bytes than it can need": _image(SOUND[0] + bytes(20_000_000)),
    "empty image": _image(b""),
    "image whose pixels are left out": _image(png_without_pixels(6)),
    "a pipe as image": lambda folder: os.mkfifo(folder / "train/bee/1.png"),
    "a folder as image": lambda folder: (folder / "train/cow/1.png").mkdir(parents=True),
    "a class that is a loop of links": _loop,
    "an image that links to nothing": lambda folder: (folder / "train/bee/1.png").symlink_to("nowhere"),
    "a class that only the test images have": lambda folder: (folder / "test/bee").rename(folder / "test/cow"),
    "a name in two lines": lambda folder: (folder / "test/bee").rename(folder / "test/two\nlines"),
    "image of 16-bit colour": _image(png_of_16_bits(2, 6)),
    "one class": lambda folder: [shutil.rmtree(folder / split / "bee") for split in ("train", "test")],
    "classes one folder too deep": lambda folder: _deeper(folder / "train"),
    "test images without labels": lambda folder: (folder / "test").rename(folder / "x") and _flat(folder / "test"),
    "annotations that are no text": _annotations(b"\xff\xfe\t"),
    "annotations without a class": _annotations(b"0.png\n"),
    "annotations of a file elsewhere": _annotations(b"../../../canary\tant\n"),
    "annotations of a name too long for the system": _annotations(b"a" * 5000 + b"\tant\n"),
    "annotations of none": _annotations(b""),
}
for name, damage in FOLDER.items():
    case("folder", name)(functools.partial(_data_set, damage))
