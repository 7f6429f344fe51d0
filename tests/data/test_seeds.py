"""Streams are the same on every machine and leave torch's own state alone."""

import torch

from kdbench.data.seeds import seeded, stream


def test_streams_are_fixed_numbers():
    """The digits of the sha256 of the parts, typed in: a change would make every earlier result another one."""
    assert stream("network", "student", "resnet8", 0) == 0x156217A9782DB8D1
    assert stream("a", "bc") != stream("ab", "c") != stream("a", "b", "c")
    assert all(0 <= stream("x", n) < 2**63 for n in range(100))


def test_seeded_gives_the_same_numbers_and_restores_the_state():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with seeded("modules", "kd", 3):
        first = torch.randn(4)
    with seeded("modules", "kd", 3):
        again = torch.randn(4)
    with seeded("modules", "kd", 4):
        other = torch.randn(4)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
