"""A fixed division of a data set in two."""

import hashlib
from collections import defaultdict


def stratified(labels: list[int], train_size: int) -> tuple[list[int], list[int]]:
    """Positions of the training images and of the others, ascending; each class is divided in the same proportion.

    Within a class a hash of (class, position) decides, so the split depends on no library's random numbers.
    """
    by_class = defaultdict(list)
    for position, label in enumerate(labels):
        by_class[label].append(position)
    ranked = []
    for label, positions in by_class.items():
        positions.sort(key=lambda position: hashlib.sha256(f"{label}:{position}".encode()).digest())
        ranked += [((rank + 0.5) / len(positions), label, position) for rank, position in enumerate(positions)]
    order = [position for *_, position in sorted(ranked)]
    return sorted(order[:train_size]), sorted(order[train_size:])
