"""Data that are nearly those of a known data set, told apart: nobody shall take one for the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from kdbench.data.known import Fingerprint, Known
from kdbench.data.split import Split, label_bytes


def resemblance(train: Split, test: Split, known: Iterable[Known]) -> str | None:
    """A sentence on data that have a split of a known data set, changed or not; None for data that are their own."""
    for one in known:
        if likeness := unlike(one, train, test):
            return f"this is not {one.title}, and published numbers do not apply to it: {likeness}"
    return None


def unlike(known: Known, train: Split, test: Split) -> str | None:
    """What either split has of a known data set's, in words; None where neither has anything."""
    found = [_likeness(known, split, of) for split, of in ((train, known.train), (test, known.test))]
    if not any(found):
        return None
    said = (likeness or f"is not {known.title}'s" for likeness in found)
    return "; ".join(f"the {which} split {what}" for which, what in zip(("training", "test"), said, strict=True))


def _likeness(known: Known, split: Split, of: Fingerprint) -> str | None:
    if list(split.images.shape) != [of.size, known.side, known.side, 3]:
        return None
    images, labels = _digest(split.images.contiguous().numpy().data) == of.images, _digest(label_bytes(split))
    if images and labels == of.labels:
        return f"is {known.title}'s"
    if images and labels == of.coarse:
        return f"has {known.title}'s images with the coarse labels in the place of the fine ones"
    if images:
        return f"has {known.title}'s images with other labels"
    if labels == of.labels:
        return f"has {known.title}'s labels with other pixels"
    if _digest(b"".join(sorted(_pairs(split)))) == of.unordered:
        return f"has {known.title}'s images and labels in another order"
    return None


def fingerprint(split: Split, coarse: Split) -> Fingerprint:
    """The fingerprint of a split; `coarse` has the same images with their coarse labels."""
    return Fingerprint(
        len(split.labels),
        images=_digest(split.images.contiguous().numpy().data),
        labels=_digest(label_bytes(split)),
        coarse=_digest(label_bytes(coarse)),
        unordered=_digest(b"".join(sorted(_pairs(split)))),
    )


def _pairs(split: Split) -> Iterator[bytes]:
    for image, label in zip(split.images.contiguous().numpy(), split.labels.tolist(), strict=True):
        yield hashlib.sha256(image.tobytes() + label.to_bytes(8, "little", signed=True)).digest()


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
