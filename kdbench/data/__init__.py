"""Data sets, in memory or listed. What is known of one without its images is known without PyTorch."""

from kdbench.data.allow_empty import AllowEmpty
from kdbench.data.augment import Augmentation
from kdbench.data.cifar100 import Cifar100
from kdbench.data.cluttered_digits import ClutteredDigits
from kdbench.data.cub200 import Cub200
from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, make_dataset
from kdbench.data.digits import Digits
from kdbench.data.folder import Folder, ImageFolder
from kdbench.data.holdout import Holdout
from kdbench.data.imagenet import ImageNet
from kdbench.data.lookup import resolve_dataset
from kdbench.data.parquet import Parquet
from kdbench.data.split import Split
from kdbench.data.streamed import ImageSplit, StreamedDataset, make_streamed_dataset
from kdbench.data.tiny_imagenet import TinyImageNet

#: The data sets that come with kdbench.
BUILTIN_SOURCES: tuple[DatasetSource, ...] = (
    Digits(),
    ClutteredDigits(),
    Cifar100(),
    ImageNet(),
    Cub200(),
    TinyImageNet(),
    Folder(),
    ImageFolder(),
    Parquet(),
    Holdout(),
    AllowEmpty(),
)

__all__ = [
    "BUILTIN_SOURCES",
    "Augmentation",
    "Dataset",
    "DatasetInfo",
    "DatasetSource",
    "ImageSplit",
    "Split",
    "StreamedDataset",
    "make_dataset",
    "make_streamed_dataset",
    "resolve_dataset",
]
