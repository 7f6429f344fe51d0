"""`imagenet:DIR`: ImageNet (ILSVRC2012), its validation images by class folder or flat with their ground truth."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdbench.data.class_folders import ClassFolders, subfolders
from kdbench.data.dataset import DatasetInfo
from kdbench.data.files import ImageFiles, add_file
from kdbench.data.imagenet_devkit import devkit_labels, find_ground_truth
from kdbench.data.lines import read_lines
from kdbench.data.listing import Listing
from kdbench.data.local import check_size
from kdbench.data.official import OfficialFolder
from kdbench.inputs.errors import UserError

INFO = DatasetInfo("imagenet", num_classes=1000, input_size=None, train_size=1_281_167, test_size=50_000)
#: Where Kaggle's archive has `train` and `val`, and its labels of the latter.
KAGGLE, SOLUTION = "ILSVRC/Data/CLS-LOC", "LOC_val_solution.csv"
#: A synset of WordNet, which ImageNet's classes are.
SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class ImageNet(OfficialFolder):
    """`train` and `val` by class folder, or a flat `val` with Kaggle's LOC_val_solution.csv or the devkit beside it.

    Classes are the folders of `train`, sorted, as everywhere in the field; test images are the validation ones, in the
    order of their files' names.
    """

    name: str = "imagenet"
    official = INFO

    def whole(self, classes: tuple[str, ...]) -> bool:
        return all(SYNSET.fullmatch(name) for name in classes)

    def listing(self, folder: Path) -> Listing:
        base = f"{KAGGLE}/" if (folder / KAGGLE / "train").is_dir() else ""
        if not (folder / f"{base}train").is_dir() or not (folder / f"{base}val").is_dir():
            raise UserError(
                f"data set '{self.name}': {folder} holds no folders train and val, nor Kaggle's {KAGGLE}; check the "
                "path."
            )
        classes = tuple(subfolders(folder / f"{base}train"))
        found = ClassFolders(folder, classes)
        train = found.images(f"{base}train")
        if set(subfolders(folder / f"{base}val")) & set(classes):
            test, labels = _by_file(found.images(f"{base}val")), "by class folder"
        else:
            test, labels = _labelled(folder, f"{base}val", classes)
        note = f"read from {folder}: train for training, val for testing ({labels})"
        return Listing(classes, train, test, notes=(note, *found.told()))


def _by_file(files: ImageFiles) -> ImageFiles:
    """The same files in the order of their own names."""
    ordered = ImageFiles(files.root)
    for row in sorted(files.rows(), key=lambda row: row[0].rpartition("/")[2]):
        ordered.add(*row)
    return ordered


def _labelled(folder: Path, val: str, classes: tuple[str, ...]) -> tuple[ImageFiles, str]:
    """The images of a flat `val`, and what says their labels."""
    if (solution := folder / SOLUTION).is_file():
        source, rows = solution, _kaggle_labels(solution)
    elif truth := find_ground_truth(folder):
        source, rows = truth, devkit_labels(truth)
    else:
        raise UserError(
            f"{folder / val} has no folders of classes, and nothing in {folder} says its labels; put {SOLUTION}, or "
            "ILSVRC2012_devkit_t12 with its folder data, there."
        )
    found, numbers = ImageFiles(str(folder)), {name: number for number, name in enumerate(classes)}
    for file, synset in sorted(rows):
        if synset not in numbers:
            raise UserError(f"{source}: '{synset:.40}' of {file:.40} is no class of train; complete train.")
        add_file(found, f"{val}/{file}", numbers[synset])
    check_size(f"{source} names", len(found))
    return found, f"labels of {source.relative_to(folder)}"


def _kaggle_labels(path: Path) -> Iterator[tuple[str, str]]:
    """File and synset of each validation image; behind the synset stands its box, and more of both may follow."""
    for number, row in enumerate(csv.reader(read_lines(path)), start=1):
        if row == ["ImageId", "PredictionString"]:
            continue
        if len(row) != 2 or not row[1].split() or Path(row[0]).name != row[0]:
            raise UserError(f"{path}, line {number}: it names no image and its synset; download it anew.")
        yield f"{row[0]}.JPEG", row[1].split()[0]
