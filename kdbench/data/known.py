"""Data sets that are known by their content, whatever files it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from kdbench.data.cifar100_classes import FINE

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Fingerprint:
    """A split in the official order, by the sha256 of its images, of its labels, of the coarse labels that it also has,
    and of its pairs of image and label whatever their order.
    """

    size: int
    images: str
    labels: str
    coarse: str
    unordered: str


@dataclass(frozen=True)
class Known:
    """A data set's name, classes and normalisation constants, and the `content_checksum` of its splits in the official
    order; `title` is what its authors call it.
    """

    name: str
    title: str
    side: int
    classes: tuple[str, ...]
    statistics: tuple[Channels, Channels]
    checksum: str
    train: Fingerprint
    test: Fingerprint


#: Files of this content, with their coarse labels, pack to the published SHA-1s of the binary version (docs/grids.md).
CIFAR100 = Known(
    "cifar100",
    "CIFAR-100",
    32,
    FINE,
    # What RepDistiller and its successors normalise with.
    ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "9241c80b67a52f0e22805a247d0bcdfeb0950a529f23a5d4219ad5b51b9d7fc3",
    Fingerprint(
        50_000,
        images="4e457917601a66aed021f5fa37957b56c6319557c0a8ed5484de3c390af45430",
        labels="8bf4935e7c77a3096270043c6f3b221b6ecb9c63d1a08608e9af66cff17e977a",
        coarse="9f99c2cdae93cf09da2fc6497c96ab042c6dc02c456a2e86dcffd2305df5a2e9",
        unordered="f21948361e3a1c94d1f14ec03fe682372044407fa6a618f020b2ed8dcc41d84d",
    ),
    Fingerprint(
        10_000,
        images="4cb8e5d9309da489bf6b19cc10cd96c3ae6f8daf225380b605aaee4c0d6aee19",
        labels="80031c23f8300724c6fbc588e4bccbe41c6392041782148727bb497b0132c4ad",
        coarse="e2f01c218d5f70ed60e3d80cb12337f835005bcae62b64fefcaa2b647612af83",
        unordered="dc83e74dc0797ec7de75164abeb59d8c66b9677d62e46ddb8ce1ab1608ba1b7d",
    ),
)
#: All of them.
KNOWN = (CIFAR100,)


def known_by(checksum: str) -> Known | None:
    """The data set of that content; None for any other."""
    return next((known for known in KNOWN if known.checksum == checksum), None)
