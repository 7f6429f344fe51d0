"""Numbers, times and lists in sentences."""

import pytest

from kdbench.inputs.wording import counted, duration, few, listed, memory_size


def test_numbers_and_lists():
    assert [counted(number, "run") for number in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]
    assert [listed(words) for words in (["a"], [4, 6], "abc")] == ["a", "4 and 6", "a, b and c"]
    assert memory_size(2_700_000) == "2.7 MB" and memory_size(13e9) == "13 GB"
    assert few(["a", "b", "c"]) == "a, b, c" and few(["a", "b", "c", "d"]) == "a, b, c and 1 more"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.1234, "0.123 s"), (7, "7 s"), (119, "119 s"), (240, "4 min"), (9000, "2.5 hours"), (864000, "10 days")],
)
def test_times_are_said_in_the_unit_that_they_are_read_in(seconds, said):
    assert duration(seconds) == said
