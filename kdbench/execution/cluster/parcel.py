"""A data set as it travels through the object store: arrays, which all processes of a machine read from one memory.

Images in files are never sent: every machine reads its own.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch

from kdbench.data.dataset import Dataset
from kdbench.data.split import Split
from kdbench.data.streamed import AnyDataset, StreamedDataset

Parcel = dict[str, Any]


def pack(dataset: AnyDataset) -> Parcel:
    """A data set as plain values and NumPy arrays; one in files as it is."""
    if isinstance(dataset, StreamedDataset):
        return {"streamed": dataset}
    plain = {name: getattr(dataset, name) for name in ("info", "classes", "mean", "std", "notes")}
    return plain | {name: _arrays(getattr(dataset, name)) for name in ("train", "test")}


def unpack(parcel: Parcel) -> AnyDataset:
    """The data set; its images stay where the parcel has them, which may not be written to."""
    if "streamed" in parcel:
        streamed: StreamedDataset = parcel["streamed"]
        return streamed
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        splits = {name: Split(*map(torch.from_numpy, parcel[name])) for name in ("train", "test")}
    return Dataset(**{**parcel, **splits})


def travels(dataset: AnyDataset) -> bool:
    """Whether a machine that has it not can be sent it."""
    return isinstance(dataset, Dataset)


def size(dataset: AnyDataset) -> int:
    """Bytes of a data set's images and labels, of labels alone where images are in files."""
    if isinstance(dataset, StreamedDataset):
        return sum(split.labels.nbytes for split in (dataset.train, dataset.test))
    splits = (dataset.train, dataset.test)
    return sum(tensor.nbytes for split in splits for tensor in (split.images, split.labels))


def _arrays(split: Split) -> tuple[Any, Any]:
    return split.images.numpy(), split.labels.numpy()
