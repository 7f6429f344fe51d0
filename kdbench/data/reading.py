"""Images read and decoded ahead of training, by processes that training need not wait for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate
from torch.utils.data import Dataset as TorchDataset

from kdbench.data.augment import Augmentation
from kdbench.data.decode import decode_pixels
from kdbench.data.seeds import drawing
from kdbench.data.streamed import ImageSplit, StreamedDataset
from kdbench.data.views import evaluation_view, training_view
from kdbench.inputs.errors import UserError

#: Batches that each process has ready.
AHEAD = 2


class NotDelivered(UserError):
    """Images that could not be read or decoded: a sentence that names the first of them."""


def nothing() -> None:
    """Nothing to begin with."""


@dataclass(frozen=True)
class Loaders:
    """Who reads: `number` processes, or whoever asks where that is 0.

    They are made in `context` inside of `birth()`, and call `begin()` first. `before` is sent to them ahead of the data
    set, which may need what that brings.
    """

    number: int = 0
    context: BaseContext | None = None
    birth: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    begin: Callable[[], None] = nothing
    before: object = None


@dataclass(frozen=True)
class Wanted:
    """Images at positions of a split, as training changes them in `epoch`; as evaluation sees them, if that is None."""

    split: Literal["training", "test"]
    positions: Sequence[int]
    epoch: int | None = None


class Reader(TorchDataset[Tensor]):
    """What makes images of one size of a data set's files.

    What it makes of one is a function of (data set's name, seed, epoch, position), whoever makes it, and when.
    """

    def __init__(self, dataset: StreamedDataset, augmentation: Augmentation, seed: int = 0):
        self._splits: dict[str, ImageSplit] = {"training": dataset.train, "test": dataset.test}
        self._names = ("image", dataset.info.name, seed)
        self._training = training_view(dataset.info, augmentation)
        self._evaluation = evaluation_view(dataset.info, augmentation)

    def images(self, wanted: Wanted) -> Tensor:
        """Images, uint8 [B, side, side, 3]. Raises `NotDelivered`."""
        # In a process that reads, into memory that training shares.
        images: Tensor = default_collate([self._image(wanted, position) for position in wanted.positions])
        return images

    def __getitems__(self, wanted: Wanted) -> Tensor | NotDelivered:
        """The same for PyTorch's loader; what is raised as a value, which processes can send as it is."""
        try:
            return self.images(wanted)
        except NotDelivered as error:
            return error

    def _image(self, wanted: Wanted, position: int) -> Tensor:
        split = self._splits[wanted.split]
        try:
            pixels = decode_pixels(split.read(position))
            if wanted.epoch is None:
                return self._evaluation(pixels).permute(1, 2, 0)
            with drawing(*self._names, wanted.epoch, position):
                return self._training(pixels).permute(1, 2, 0)
        except UserError as error:
            raise NotDelivered(str(error)) from None
        # Not only what cannot be decoded: what is a pixel high may be too long once it is resized.
        except Exception as error:
            raise NotDelivered(
                f"{wanted.split} image {split.name(position)}: {' '.join(str(error).split())}; mend it or take it away."
            ) from None


class _Sent(TorchDataset[Tensor]):
    """A reader as processes get it: what comes before it, then itself."""

    def __init__(self, before: object, reader: Reader):
        self.before = before
        self._reader = reader

    def __getitems__(self, wanted: Wanted) -> Tensor | NotDelivered:
        return self._reader.__getitems__(wanted)


class Stream:
    """Batches in the order of their numbers, each read while those before it are used.

    `wanted(number)` says what a batch is of, for 0 ≤ number < `count`.
    """

    def __init__(
        self, reader: Reader, wanted: Callable[[int], Wanted], count: int, loaders: Loaders, *, pinned: bool = False
    ):
        self._order = _Order(wanted, count)
        self._number: int | None = None
        self._images: Tensor | NotDelivered
        self._batches: Iterator[Tensor | NotDelivered]
        self._born = loaders.birth
        #: Closed when this process ends, however it ends: then those that read for it end as well.
        self._line: Connection | None = None
        options: dict[str, Any] = {}
        if loaders.number:
            assert loaders.context is not None
            theirs, self._line = loaders.context.Pipe(duplex=False)
            options = {
                "multiprocessing_context": loaders.context,
                "persistent_workers": True,
                "prefetch_factor": AHEAD,
                "worker_init_fn": partial(_begin, theirs, loaders.begin),
            }
        self._loader: DataLoader[Tensor] | None = DataLoader(
            _Sent(loaders.before, reader),
            batch_sampler=self._order,
            num_workers=loaders.number,
            collate_fn=_as_it_is,
            pin_memory=pinned,
            # Else PyTorch would draw a seed from the global generator, which nothing here reads.
            generator=torch.Generator(),
            **options,
        )

    def batch(self, number: int) -> Tensor:
        """Images, uint8 [B, side, side, 3]; the last batch asked for, and the next one, are there at once.

        Any other is where reading begins anew. Raises `NotDelivered`.
        """
        if number != self._number:
            if self._number is None or number != self._number + 1:
                self._seek(number)
            self._images, self._number = self._next(), number
        if isinstance(self._images, NotDelivered):
            raise self._images
        return self._images

    def close(self) -> None:
        """Let the reading processes end."""
        # What PyTorch's iterator holds ends with it.
        vars(self).pop("_batches", None)
        self._loader = self._number = None
        if self._line:
            self._line.close()

    def _seek(self, number: int) -> None:
        assert self._loader is not None, "the stream is closed"
        self._order.first = number
        with self._born():
            self._batches = iter(self._loader)

    def _next(self) -> Tensor | NotDelivered:
        try:
            return next(self._batches)
        except RuntimeError as error:
            reason = " ".join(str(error).split("\n")[0].split())
            return NotDelivered(f"a process that reads images has ended ({reason}), most likely for want of memory.")


class _Order(Sampler[Any]):
    """What is wanted, from batch `first` on."""

    def __init__(self, wanted: Callable[[int], Wanted], count: int):
        self._wanted = wanted
        self._count = count
        self.first = 0

    def __iter__(self) -> Iterator[Wanted]:
        return map(self._wanted, range(self.first, self._count))

    def __len__(self) -> int:
        return self._count - self.first


def _as_it_is(images: Any) -> Any:
    return images


def _begin(line: Connection, begin: Callable[[], None], number: int) -> None:
    """The first that a reading process does: see to it that it ends with the one that it reads for."""
    begin()

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            line.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
