"""The images and labels of one part of a data set, and the digest that tells contents apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images, uint8 [N, H, W, 3], and labels, int64 [N]."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Split:
        """The same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


def content_checksum(train: Split, test: Split) -> str:
    """sha256 over shapes, images and labels of both splits, in hexadecimal."""
    digest = hashlib.sha256()
    for split in (train, test):
        digest.update(repr(tuple(split.images.shape)).encode())
        digest.update(split.images.contiguous().numpy().data)
        digest.update(label_bytes(split))
    return digest.hexdigest()


def label_bytes(split: Split) -> bytes:
    """Labels in order, as 8-byte integers with the lowest byte first."""
    return split.labels.numpy().astype("<i8").tobytes()
