"""`tiny_imagenet:DIR`: Tiny ImageNet-200, whose archive says the labels of its validation images in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdbench.data.class_folders import list_class_folders
from kdbench.data.dataset import DatasetInfo
from kdbench.data.imagenet import SYNSET
from kdbench.data.listing import Listing
from kdbench.data.official import OfficialFolder

INFO = DatasetInfo("tiny_imagenet", num_classes=200, input_size=None, train_size=100_000, test_size=10_000)


@dataclass(frozen=True)
class TinyImageNet(OfficialFolder):
    """What its archive unpacks to, 64×64 pixels each; test images are the validation ones."""

    name: str = "tiny_imagenet"
    official = INFO

    def whole(self, classes: tuple[str, ...]) -> bool:
        return all(SYNSET.fullmatch(name) for name in classes)

    def listing(self, folder: Path) -> Listing:
        return list_class_folders(folder, self.name)
