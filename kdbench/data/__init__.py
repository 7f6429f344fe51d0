"""Data sets as uint8 tensors, and batches of them on the device."""

from kdbench.data.augment import Augmentation
from kdbench.data.batches import Batches, eval_batches, gather_batch
from kdbench.data.cifar100 import Cifar100
from kdbench.data.cluttered_digits import ClutteredDigits
from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, make_dataset
from kdbench.data.digits import Digits
from kdbench.data.folder import Folder
from kdbench.data.holdout import Holdout
from kdbench.data.lookup import resolve_dataset
from kdbench.data.parquet import Parquet
from kdbench.data.split import Split

#: The data sets that come with kdbench.
BUILTIN_SOURCES: tuple[DatasetSource, ...] = (Digits(), ClutteredDigits(), Cifar100(), Folder(), Parquet(), Holdout())

__all__ = [
    "BUILTIN_SOURCES",
    "Augmentation",
    "Batches",
    "Dataset",
    "DatasetInfo",
    "DatasetSource",
    "Split",
    "eval_batches",
    "gather_batch",
    "make_dataset",
    "resolve_dataset",
]
