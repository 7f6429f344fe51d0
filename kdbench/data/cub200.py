"""`cub200:DIR`: Caltech-UCSD Birds-200-2011, whose own files say labels and splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kdbench.data.dataset import DatasetInfo
from kdbench.data.files import ImageFiles, add_file
from kdbench.data.lines import read_lines
from kdbench.data.listing import Listing
from kdbench.data.local import check_size
from kdbench.data.official import OfficialFolder
from kdbench.inputs.errors import UserError

INFO = DatasetInfo("cub200", num_classes=200, input_size=None, train_size=5_994, test_size=5_794)
#: What its archive unpacks to.
ARCHIVE = "CUB_200_2011"


@dataclass(frozen=True)
class Cub200(OfficialFolder):
    """Images in the order of `images.txt`, with the labels of `image_class_labels.txt`, which count from 1 there, in
    the split that `train_test_split.txt` says.
    """

    name: str = "cub200"
    official = INFO

    def whole(self, classes: tuple[str, ...]) -> bool:
        return all(name[:3] == f"{number:03}" for number, name in enumerate(classes, start=1))

    def listing(self, folder: Path) -> Listing:
        inside = f"{ARCHIVE}/" if (folder / ARCHIVE / "images.txt").is_file() else ""
        tables = folder / inside
        if not (tables / "images.txt").is_file():
            raise UserError(f"data set '{self.name}': {folder} holds neither images.txt nor {ARCHIVE}; check the path.")
        classes = tuple(name for _, name in _table(tables / "classes.txt"))
        labels = _table_of(tables / "image_class_labels.txt", {str(number + 1) for number in range(len(classes))})
        for_training = _table_of(tables / "train_test_split.txt", {"0", "1"})
        parts = {"1": ImageFiles(str(folder)), "0": ImageFiles(str(folder))}
        for number, file in _table(tables / "images.txt"):
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                raise UserError(f"{tables / 'images.txt'}: '{file:.80}' leads out of images; download it anew.")
            if number not in labels or number not in for_training:
                raise UserError(f"{tables}: image {number} of images.txt has no label or split; download it anew.")
            add_file(parts[for_training[number]], f"{inside}images/{file}", int(labels[number]) - 1)
        check_size(f"{tables}: train_test_split.txt has for training", len(parts["1"]))
        check_size(f"{tables}: train_test_split.txt has for testing", len(parts["0"]))
        note = f"read from {tables}, as images.txt, image_class_labels.txt and train_test_split.txt have it"
        return Listing(classes, parts["1"], parts["0"], notes=(note,))


def _table(path: Path) -> Iterator[tuple[str, str]]:
    """The number and the word of each line."""
    for line, text in enumerate(read_lines(path), start=1):
        number, _, word = text.strip().partition(" ")
        if not number.isdecimal() or not word:
            raise UserError(f"{path}, line {line}: it is no number and a word behind; download it anew.")
        yield number, word


def _table_of(path: Path, words: set[str]) -> dict[str, str]:
    """The words by their numbers, which must be among `words`."""
    found = dict(_table(path))
    if strange := [number for number, word in found.items() if word not in words]:
        raise UserError(f"{path}: '{found[strange[0]]:.40}' of {strange[0]} is not among its values; download it anew.")
    return found
