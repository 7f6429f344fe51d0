"""What was read of a data set, in lines for people: said once before training, and by `kdbench doctor --dataset`."""

from __future__ import annotations

from kdbench.data.dataset import DatasetInfo
from kdbench.data.known import known_by
from kdbench.data.streamed import AnyDataset


def sizes(info: DatasetInfo) -> str:
    """One line with name and sizes, and whose content it is, if it is that of a known data set."""
    known = known_by(info.checksum) if info.checksum else None
    pixels = f"{info.input_size}×{info.input_size} pixels" if info.input_size else "read as they are used"
    return (
        f"data: {info.name}{f' ({known.title} by its content)' if known else ''}, {info.train_size:,} training and "
        f"{info.test_size:,} test images of {info.num_classes} classes, {pixels}"
    )


def told(dataset: AnyDataset) -> list[str]:
    """That line, then the notes of its source and on its content, a line each."""
    return [sizes(dataset.info), *(f"  {note}" for note in dataset.notes)]
