"""`cluttered_digits`: scikit-learn's handwritten digits, each before a fainter one and out of place; no download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, make_dataset
from kdbench.data.digits import Digits
from kdbench.data.seeds import stream
from kdbench.data.split import Split

if TYPE_CHECKING:
    from torch import Tensor

INFO = DatasetInfo(
    "cluttered_digits",
    num_classes=10,
    input_size=8,
    train_size=16384,
    test_size=2000,
    checksum="965228ef0c37ce645942861585237bfcfd10bb250aa056d7da17825e2170c35e",
)
#: How many pixels the digit to be named is moved at most, down or up and right or left.
REACH = 2
#: The same for the digit behind it, and that one's brightness in sixteenths.
REACH_BEHIND = 4
BEHIND = 9


class ClutteredDigits(DatasetSource):
    """18,384 grey 8×8 images of 10 classes, made of the data set `digits`; the class is that of the brighter digit.

    Image i of a split shows the split's digit i, counted round, moved by up to 2 pixels each way. Behind it is another
    one of any class at 9/16 of its brightness, moved by up to 4: a pixel is the brighter of both, and what leaves the
    image is lost. Which digit is behind, and where both lie, is drawn by sha256 from the split's name and i. Training
    images are made of training digits alone and test images of test digits. All is computed in whole numbers, so that
    the images are the same on every machine.
    """

    name = INFO.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return INFO

    def load(self, data_dir: Path | None) -> Dataset:
        digits = Digits().load(data_dir)
        train = cluttered(digits.train, "train", INFO.train_size)
        test = cluttered(digits.test, "test", INFO.test_size)
        return make_dataset(self.name, digits.classes, train, test)

    def locations(self, data_dir: Path | None) -> str:
        return "made of scikit-learn's digits"


def cluttered(digits: Split, part: str, size: int) -> Split:
    """`size` images [size, H, W, 3] of the digits of the split that is named `part`."""
    import torch

    near, far = 2 * REACH + 1, 2 * REACH_BEHIND + 1
    behind, down, right, down_behind, right_behind = draws(part, size, (len(digits.labels), near, near, far, far))
    front = torch.arange(size) % len(digits.labels)
    bright = moved(digits.images, front, down - REACH, right - REACH, REACH)
    faint = moved(digits.images, behind, down_behind - REACH_BEHIND, right_behind - REACH_BEHIND, REACH_BEHIND)
    faint = (faint.to(torch.int64) * BEHIND // 16).to(torch.uint8)
    return Split(torch.maximum(bright, faint), digits.labels[front])


def draws(part: str, size: int, bounds: tuple[int, ...]) -> Tensor:
    """For each image of a split a whole number from 0 to below each of `bounds`, int64 [len(bounds), size]."""
    import torch

    rows = []
    for image in range(size):
        rest, row = stream(INFO.name, part, image), []
        for bound in bounds:
            rest, drawn = divmod(rest, bound)
            row.append(drawn)
        rows.append(row)
    return torch.tensor(rows).T


def moved(images: Tensor, index: Tensor, down: Tensor, right: Tensor, reach: int) -> Tensor:
    """Images [M, H, W, 3] at `index` [N], each moved by `down` and `right` from −reach to reach: [N, H, W, 3]."""
    from torch.nn.functional import pad

    height, width = images.shape[1:3]
    padded = pad(images, (0, 0, reach, reach, reach, reach))
    windows = padded.unfold(1, height, 1).unfold(2, width, 1)  # [M, 2·reach + 1, 2·reach + 1, 3, H, W]
    return windows[index, reach - down, reach - right].permute(0, 2, 3, 1).contiguous()
