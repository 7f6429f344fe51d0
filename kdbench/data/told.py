"""What was read of a data set, in lines for people: said once before training, and by `kdbench doctor --dataset`."""

from __future__ import annotations

from kdbench.data.dataset import Dataset


def told(dataset: Dataset) -> list[str]:
    """One line with name and sizes, then the notes of its source and on its content, a line each."""
    info = dataset.info
    return [
        f"data: {info.name}, {info.train_size:,} training and {info.test_size:,} test images of {info.num_classes} "
        f"classes, {info.input_size}×{info.input_size} pixels",
        *(f"  {note}" for note in dataset.notes),
    ]
