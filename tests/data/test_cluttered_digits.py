import hashlib

import pytest
import torch

from kdbench.data.cluttered_digits import INFO, ClutteredDigits
from kdbench.data.digits import Digits
from kdbench.data.split import Split


@pytest.fixture(scope="module")
def dataset():
    return ClutteredDigits().load(None)


def test_load_agrees_with_info_and_is_the_same_everywhere(dataset) -> None:
    source = ClutteredDigits()
    assert dataset.info == source.info(None) == INFO and source.available(None)
    assert source.locations(None) == "made of scikit-learn's digits"
    # Changes only when every old result on these images is to be thrown away.
    assert dataset.checksum == "965228ef0c37ce645942861585237bfcfd10bb250aa056d7da17825e2170c35e"


def pixel(image: list[list[int]], row: int, column: int) -> int:
    return image[row][column] if 0 <= row < 8 and 0 <= column < 8 else 0


def described(digits: Split, part: str, position: int) -> list[list[int]]:
    """The image as the class describes it, pixel by pixel."""
    digest = hashlib.sha256(f"cluttered_digits\x1f{part}\x1f{position}".encode()).digest()
    number = int.from_bytes(digest[:8], "big") // 2
    grey = digits.images[..., 0]
    other, number = number % len(grey), number // len(grey)
    moves = []
    for reach in (2, 2, 4, 4):
        moves.append(number % (2 * reach + 1) - reach)
        number //= 2 * reach + 1
    down, right, down_behind, right_behind = moves
    bright, faint = grey[position % len(grey)].tolist(), grey[other].tolist()
    return [
        [
            max(
                pixel(bright, row - down, column - right),
                pixel(faint, row - down_behind, column - right_behind) * 9 // 16,
            )
            for column in range(8)
        ]
        for row in range(8)
    ]


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_image_is_a_digit_before_a_fainter_one_of_the_same_split(dataset, part: str) -> None:
    digits: Split = getattr(Digits().load(None), part)
    split: Split = getattr(dataset, part)
    for position in (0, 1, 2, 796, 797, 999, 1000, 1999):
        ours = split.images[position]
        assert (ours == ours[..., :1]).all()
        assert ours[..., 0].tolist() == described(digits, part, position)
    again = torch.arange(len(split.labels)) % len(digits.labels)
    assert torch.equal(split.labels, digits.labels[again])
