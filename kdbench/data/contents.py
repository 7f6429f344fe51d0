"""The digest of what a streamed data set's files hold, which takes reading all of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from kdbench.data.streamed import ImageSplit, StreamedDataset

#: Images that are handed to the threads at a time.
BLOCK = 1024
T = TypeVar("T")


def contents_checksum(dataset: StreamedDataset) -> str:
    """sha256 over the sha256 of each encoded image, training images first, in order. Raises `UserError` for one that
    cannot be read.
    """
    digest = hashlib.sha256()
    for one in of_each_image(dataset, _digest):
        digest.update(one)
    return digest.hexdigest()


def of_each_image(dataset: StreamedDataset, ask: Callable[[ImageSplit, int], T]) -> Iterator[T]:
    """What `ask` says of each image, given its split and its place in it: in order, asked in threads side by side."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for split in (dataset.train, dataset.test):
            for start in range(0, len(split), BLOCK):
                yield from threads.map(partial(ask, split), range(start, min(start + BLOCK, len(split))))


def _digest(split: ImageSplit, row: int) -> bytes:
    return hashlib.sha256(split.read(row)).digest()
