"""Seeds as people write them, in a grid and behind `--seeds`."""

import pytest

from kdbench.cli.values import seeds_of
from kdbench.inputs.errors import UserError
from kdbench.inputs.seeds import parse_seeds


@pytest.mark.parametrize(
    ("given", "seeds"),
    [("0-4", (0, 1, 2, 3, 4)), ("7", (7,)), ("2, 0-1", (2, 0, 1)), (["0-2", 7], (0, 1, 2, 7)), ("3 - 3", (3,))],
)
def test_what_seeds_are(given, seeds):
    assert parse_seeds(given) == seeds


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "write \\[3\\] for the seed, 0-2 for so many"),
        (0, "write \\[0\\] for the seed$"),
        ([-1], "from 0 and ranges such as 0-4, in a list, not -1"),
        ([True], "not true"),
        (True, "not true"),
        (None, "not null"),
        ([], "not \\[\\]"),
        ([1.5], "not 1.5"),
        ("4-0", "a range goes up, as 0-4, not '4-0'"),
        ("0-2,1", "seed 1 is named twice"),
        # At once: counting each one's like among all would take minutes.
        ("0-99998,99998", "seed 99998 is named twice"),
        ("0-999999999", "makes more than 100,000 seeds"),
        ("0,,1", "not ''"),
        ("9" * 5000, "whole numbers"),
        ("\u0663", "whole numbers"),
    ],
)
def test_what_seeds_are_not(given, said):
    with pytest.raises(ValueError, match=said):
        parse_seeds(given)


def test_the_option_goes_by_the_same_rule():
    assert seeds_of("") == () and seeds_of("0-1,5") == (0, 1, 5)
    with pytest.raises(UserError, match="--seeds: a range goes up, as 1-3, not '3-1'"):
        seeds_of("3-1")
