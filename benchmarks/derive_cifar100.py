"""Show that the content which kdbench knows as CIFAR-100 is the official one.

    python benchmarks/derive_cifar100.py cifar100 --data-dir DIR        # or parquet:DIR, folder:DIR

Packs the images of any source as the official binary version does (coarse label, fine label, 3,072 bytes of an image's
red, green and blue planes) and prints the SHA-1s of both files beside the published ones, and the digest by which
kdbench knows the data. Exit code 1 where any of them is another.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np

from kdbench.data.cifar100_classes import COARSE_OF_FINE
from kdbench.data.known import CIFAR100
from kdbench.data.split import Split, content_checksum
from kdbench.plugins import load_plugins

#: Of train.bin and test.bin in cifar-100-binary.tar.gz.
PUBLISHED = ("e207cd2e05b73b1393c74c7f5e7bea451d63e08e", "8fb6623e830365ff53cf14adec797474f5478006")


def packed(split: Split) -> bytes:
    """A split as the official binary file."""
    fine = split.labels.numpy()
    coarse = np.array(COARSE_OF_FINE)[fine]
    planes = split.images.numpy().transpose(0, 3, 1, 2).reshape(len(fine), -1)
    return np.column_stack([coarse.astype(np.uint8), fine.astype(np.uint8), planes]).tobytes()


def main() -> None:
    """Pack, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spec")
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    data = load_plugins().dataset(given.spec).load(given.data_dir)
    found = [hashlib.sha1(packed(split), usedforsecurity=False).hexdigest() for split in (data.train, data.test)]
    rows = [*zip(("train.bin", "test.bin"), found, PUBLISHED, strict=True)]
    rows.append(("digest", content_checksum(data.train, data.test), CIFAR100.checksum))
    for what, ours, expected in rows:
        print(f"{what}: {ours} {'as expected' if ours == expected else f'but expected {expected}'}")
    raise SystemExit(any(ours != expected for _, ours, expected in rows))


if __name__ == "__main__":
    main()
