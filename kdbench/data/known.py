"""Data sets that are known by their content, whatever files it comes from."""

from __future__ import annotations

from dataclasses import dataclass

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Known:
    """A data set's name and normalisation constants, and the `content_checksum` of its splits in the official order."""

    name: str
    statistics: tuple[Channels, Channels]
    checksum: str


#: Files of this content, with their coarse labels, pack to the published SHA-1s of the binary version (docs/grids.md).
CIFAR100 = Known(
    "cifar100",
    # What RepDistiller and its successors normalise with.
    ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "9241c80b67a52f0e22805a247d0bcdfeb0950a529f23a5d4219ad5b51b9d7fc3",
)
_KNOWN = {known.checksum: known for known in (CIFAR100,)}


def known_by(checksum: str) -> Known | None:
    """The data set of that content; None for any other."""
    return _KNOWN.get(checksum)
