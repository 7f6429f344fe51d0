"""Every image of a data set decoded once, so that broken ones are known before anything is trained on them."""

from __future__ import annotations

from pathlib import Path

from kdbench.data.contents import of_each_image
from kdbench.data.dataset import DatasetSource
from kdbench.data.local import RememberedFolder
from kdbench.data.streamed import AnyDataset, ImageSplit, StreamedDataset
from kdbench.inputs.errors import UserError

#: How many broken images are named.
NAMED = 20


class BrokenImages(UserError):
    """Images that cannot be used; `named` has a sentence on each of the first ones."""

    def __init__(self, named: list[str]):
        super().__init__("\n".join(named))
        self.named = named


def inspected(source: DatasetSource, data_dir: Path | None) -> AnyDataset:
    """The data set of a source, every image of which can be decoded. Raises `BrokenImages` for one with others."""
    try:
        dataset = source.load(data_dir)
    except UserError:
        # Loading stops at the first one.
        if isinstance(source, RememberedFolder):
            _inspect(source.listed())
        raise
    if isinstance(dataset, StreamedDataset):
        _inspect(dataset)
    return dataset


def _inspect(dataset: StreamedDataset) -> None:
    named, count = [], 0
    for wrong in filter(None, of_each_image(dataset, _wrong)):
        count += 1
        if count <= NAMED:
            named.append(wrong)
    if count > NAMED:
        named.append(f"{count - NAMED:,} more images are broken.")
    if named:
        raise BrokenImages(named)


def _wrong(split: ImageSplit, row: int) -> str | None:
    """What is wrong with an image, in a sentence."""
    try:
        split.decode(row)
    except UserError as error:
        return str(error)
    return None
