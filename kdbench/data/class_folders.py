"""Images in a folder for each class: the layout of torchvision's ImageFolder, or Tiny ImageNet's, listed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdbench.data.files import ENDINGS, ImageFiles, add_file
from kdbench.data.lines import read_lines
from kdbench.data.listing import Listing
from kdbench.data.local import check_size
from kdbench.inputs.errors import UserError

#: What the folder of test images may be called; the first one that is there counts.
TEST = ("test", "val", "valid", "validation")
#: Tiny ImageNet's labels of its validation images, which lie in one folder: file, class and a box, tabs between.
ANNOTATIONS = Path("val/val_annotations.txt")
#: How many endings a sentence names.
NAMED = 5


@dataclass(frozen=True)
class ClassFolders:
    """The folders of one data set's classes, in `place`; `left_out` counts files that are no images, by their endings.

    Raises `UserError` for a class's folder without an image, unless they are allowed to be empty.
    """

    place: Path
    classes: tuple[str, ...]
    allow_empty: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    def images(self, split: str) -> ImageFiles:
        """The images of one split, class by class and in the order of their paths, whatever the file system's."""
        found = ImageFiles(str(self.place))
        for name in subfolders(self.place / split):
            if name not in self.classes:
                raise UserError(
                    f"{self.place / split} has a folder '{name}', which train has not; arrange both by the same "
                    "classes."
                )
            before, label = len(found), self.classes.index(name)
            for path in self._below(f"{split}/{name}"):
                add_file(found, path, label)
            if len(found) == before and not self.allow_empty:
                raise UserError(
                    f"{self.place / split / name} has no file that ends in {', '.join(ENDINGS)}; take the folder away, "
                    "or let classes be empty, as in allow_empty:folder:DIR."
                )
        check_size(f"{self.place / split} has", len(found))
        return found

    def _below(self, folder: str) -> Iterator[str]:
        """Image files of a folder and of those in it, hidden ones apart, by name."""
        with os.scandir(self.place / folder) as there:
            entries = sorted((entry.name, entry) for entry in there if not entry.name.startswith("."))
        for name, entry in entries:
            if entry.is_dir():
                # Left out, its images would be missed without a word; followed, it could lead round in a circle.
                if entry.is_symlink():
                    raise UserError(f"{entry.path} is a link to a folder within a class; put the folder itself there.")
                yield from self._below(f"{folder}/{name}")
            elif name.lower().endswith(ENDINGS):
                yield f"{folder}/{name}"
            else:
                self.left_out[Path(name).suffix.lower()] += 1

    def told(self) -> list[str]:
        """A sentence on the files of classes that are not read."""
        if not self.left_out:
            return []
        most = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0] == "", item[0]))[:NAMED]
        endings = ", ".join(f"{count} {ending or 'without an ending'}" for ending, count in most)
        more = ", …" if len(self.left_out) > NAMED else ""
        return [
            f"{self.left_out.total()} files in folders of classes are left out ({endings}{more}): what ends in "
            f"{', '.join(ENDINGS)} is read"
        ]


def list_class_folders(folder: Path, spec: str, *, allow_empty: bool = False) -> Listing:
    """The images of `train/CLASS` and `test/CLASS` (or `val`, …), in `folder`; `spec` is what the user called it.

    Classes are the folders of `train`, sorted by name. Where `val/val_annotations.txt` is there, it says the labels of
    the test images in `val/images`. Raises `UserError` for another layout.
    """
    # ValueError: a path that the system cannot even look for.
    try:
        return _listed(folder, spec, allow_empty)
    except (OSError, ValueError) as error:
        raise UserError(f"the folder of a data set cannot be read: {error!s:.200}; check the path.") from error


def _listed(folder: Path, spec: str, allow_empty: bool) -> Listing:
    there = [name for name in TEST if (folder / name).is_dir()]
    if not there or not (folder / "train").is_dir():
        raise UserError(
            f"data set '{spec}': {folder} holds no folder train with one called {' or '.join(TEST)} beside it; check "
            "the path."
        )
    found = ClassFolders(folder, _classes(folder / "train"), allow_empty)
    annotations = (folder / ANNOTATIONS,) if (folder / ANNOTATIONS).is_file() else ()
    # Unlabelled test images, as ImageNet and Tiny ImageNet have them, lie in no folder of a class.
    labelled = [name for name in there if {*subfolders(folder / name)} & {*found.classes}]
    held_out = ANNOTATIONS.parent.name if annotations else (labelled or there)[0]
    train = found.images("train")
    test = _annotated(folder, found.classes) if annotations else found.images(held_out)
    notes = [f"read from {folder}: train for training, {held_out} for testing"]
    notes += [f"{name} has no folder of a class and is left out" for name in there[: there.index(held_out)]]
    return Listing(found.classes, train, test, annotations, (*notes, *found.told()))


def _classes(train: Path) -> tuple[str, ...]:
    classes = tuple(subfolders(train))
    if not classes:
        raise UserError(f"{train} has no folder of a class; put each class's images into one.")
    if len(classes) == 1:
        raise UserError(
            f"{train} has one class only, '{classes[0]}', and nothing can be told apart; put the folder of each class "
            "directly into train."
        )
    return classes


def subfolders(folder: Path) -> list[str]:
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


def _annotated(folder: Path, classes: Sequence[str]) -> ImageFiles:
    """Tiny ImageNet's validation images, labelled by their file of annotations."""
    found, path = ImageFiles(str(folder)), folder / ANNOTATIONS
    numbers = {name: number for number, name in enumerate(classes)}
    for number, line in enumerate(read_lines(path), start=1):
        file, *rest = line.split("\t")
        if Path(file).name != file or not rest or rest[0] not in numbers:
            raise UserError(f"{path}, line {number}: it names no class of train behind a file; download it anew.")
        add_file(found, f"val/images/{file}", numbers[rest[0]])
    check_size(f"{path} names", len(found))
    return found
