"""`folder:DIR`: image files in a folder for each class, the layout of torchvision's ImageFolder, or Tiny ImageNet's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench.data.dataset import Dataset, make_dataset
from kdbench.data.decode import MAX_BYTES, decode, image_side
from kdbench.data.local import LocalFolder, check_size, empty_split
from kdbench.data.split import Split
from kdbench.inputs.errors import UserError

#: What the folder of test images may be called; the first one that is there counts.
TEST = ("test", "val", "valid", "validation")
#: Tiny ImageNet's labels of its validation images, which lie in one folder: file, class and a box, tabs between.
ANNOTATIONS = Path("val/val_annotations.txt")
#: Bytes that it may have; Tiny ImageNet's own, of 10,000 images, has 0.4 MB.
MAX_ANNOTATIONS_BYTES = 2**28
#: Endings of files that are taken for images, in any case; others are left out, and said to be.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
#: How many endings a sentence names.
NAMED = 5

Labelled = tuple[Path, int]


@dataclass(frozen=True)
class Folder(LocalFolder):
    """The images of `train/CLASS` and `test/CLASS` (or `val`, …) and of all folders in them.

    Classes are the folders of `train`, sorted by name; images come in the order of their paths, whatever the file
    system's. Where `val/val_annotations.txt` is there, it says the labels of the test images in `val/images`.
    """

    name: str = "folder"

    def files(self) -> list[Path]:
        found = self._listing()
        return [path for path, _ in (*found.train, *found.test)] + found.annotations

    def read(self) -> Dataset:
        found = self._listing()
        side = _side(found.train[0][0])
        train, test = _load(found.train, side), _load(found.test, side)
        return make_dataset(self.label, found.classes, train, test, own=True, notes=found.notes)

    def _listing(self) -> Listing:
        # ValueError: a path that the system cannot even look for.
        try:
            return _listing(self.given, self.name)
        except (OSError, ValueError) as error:
            raise UserError(f"the folder of a data set cannot be read: {error!s:.200}; check the path.") from error


@dataclass(frozen=True)
class Listing:
    """What a folder holds, nothing of it read: images with their labels, and sentences on what was found."""

    classes: tuple[str, ...]
    train: list[Labelled]
    test: list[Labelled]
    annotations: list[Path]
    notes: tuple[str, ...]


def _listing(folder: Path, spec: str) -> Listing:
    there = [name for name in TEST if (folder / name).is_dir()]
    if not there or not (folder / "train").is_dir():
        raise UserError(
            f"data set '{spec}': {folder} holds no folder train with one called {' or '.join(TEST)} beside it; check "
            "the path."
        )
    classes = tuple(_subfolders(folder / "train"))
    if not classes:
        raise UserError(f"{folder / 'train'} has no folder of a class; put each class's images into one.")
    if len(classes) == 1:
        raise UserError(
            f"{folder / 'train'} has one class only, '{classes[0]}', and nothing can be told apart; put the folder of "
            "each class directly into train."
        )
    left_out: Counter[str] = Counter()
    train = list(_in_classes(folder / "train", classes, left_out))
    annotations = [folder / ANNOTATIONS] if (folder / ANNOTATIONS).is_file() else []
    # Unlabelled test images, as ImageNet and Tiny ImageNet have them, lie in no folder of a class.
    labelled = [name for name in there if set(_subfolders(folder / name)) & set(classes)]
    held_out = ANNOTATIONS.parent.name if annotations else (labelled or there)[0]
    if annotations:
        test = list(_annotated(annotations[0], classes))
    else:
        test = list(_in_classes(folder / held_out, classes, left_out))
    check_size(f"{folder / 'train'} has", len(train))
    check_size(f"{folder / held_out} has", len(test))
    notes = [f"read from {folder}: train for training, {held_out} for testing"]
    notes += [f"{name} has no folder of a class and is left out" for name in there[: there.index(held_out)]]
    notes += _told(left_out)
    return Listing(classes, train, test, annotations, tuple(notes))


def _told(left_out: Counter[str]) -> list[str]:
    """A sentence on the files of classes that are not read."""
    if not left_out:
        return []
    most = sorted(left_out.items(), key=lambda item: (-item[1], item[0] == "", item[0]))[:NAMED]
    endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in most)
    more = ", …" if len(left_out) > NAMED else ""
    return [
        f"{left_out.total()} files in folders of classes are left out ({endings}{more}): what ends in "
        f"{', '.join(ENDINGS)} is read"
    ]


def _subfolders(folder: Path) -> list[str]:
    """Names of a split's folders, sorted; hidden ones and files are left alone, a link to nothing is refused."""
    names = []
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            names.append(entry.name)
        elif entry.is_symlink() and not entry.exists():
            raise UserError(f"{entry} links to nothing; mend the link or take it away.")
    return sorted(names)


def _in_classes(split: Path, classes: Sequence[str], left_out: Counter[str]) -> Iterator[Labelled]:
    """Images below a split's folders, each of which must be a class with an image; `left_out` counts other files."""
    numbers = {name: number for number, name in enumerate(classes)}
    for name in _subfolders(split):
        if name not in numbers:
            raise UserError(f"{split} has a folder '{name}', which train has not; arrange both by the same classes.")
        images = sorted(_images(split / name, left_out), key=lambda path: path.parts)
        if not images:
            raise UserError(f"{split / name} has no file that ends in {', '.join(ENDINGS)}; take the folder away.")
        for path in images:
            yield path, numbers[name]


def _images(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Image files of a class's folder and of those in it, hidden ones apart, in no order."""

    def refuse(error: OSError) -> None:
        raise error  # else a folder that may not be read is left out without a word

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for inner in (Path(place, name) for name in folders):
            # Left out, its images would be missed without a word; followed, it could lead round in a circle.
            if inner.is_symlink():
                raise UserError(f"{inner} is a link to a folder within a class; put the folder itself there.")
        for file in files:
            if file.startswith("."):
                continue
            if file.lower().endswith(ENDINGS):
                yield Path(place, file)
            else:
                left_out[Path(file).suffix.lower()] += 1


def _annotated(path: Path, classes: Sequence[str]) -> Iterator[Labelled]:
    """Tiny ImageNet's validation images, labelled by their file of annotations."""
    numbers = {name: number for number, name in enumerate(classes)}
    if (size := path.stat().st_size) > MAX_ANNOTATIONS_BYTES:
        raise UserError(f"{path} has {size:,} bytes, and at most {MAX_ANNOTATIONS_BYTES:,} are read; download it anew.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        file, *rest = line.split("\t")
        if Path(file).name != file or not rest or rest[0] not in numbers:
            raise UserError(f"{path}, line {number}: it names no class of train behind a file; download it anew.")
        yield path.parent / "images" / file, numbers[rest[0]]


def _side(path: Path) -> int:
    """Height and width of an image, from its header."""
    try:
        return image_side(_read(path))
    except ValueError as error:
        raise _bad(path, error) from error


def _load(files: Sequence[Labelled], side: int) -> Split:
    """Decode all images of a split."""
    import torch

    images, labels = empty_split(files[0][0].parent, len(files), side)
    for row, (path, label) in enumerate(files):
        labels[row] = label
        try:
            images[row] = decode(_read(path), side)
        except ValueError as error:
            raise _bad(path, error) from error
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise UserError(f"{path} is no file; mend it or take it away.")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # one more than are decoded, so that a longer file is refused as such
    except OSError as error:
        raise UserError(f"{path!s:.300} cannot be read ({error.strerror}); mend it or take it away.") from error


def _bad(path: Path, reason: ValueError) -> UserError:
    return UserError(f"{path}: bad image: {reason}; mend it or take it away.")
