"""The memory meter on calls whose peak is known."""

import pytest
import torch

from kdbench.bench.memory import peak_bytes

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SIZE = 2**16


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_held_at_one_time_is_counted_and_what_was_there_before_is_not(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    x = torch.ones(SIZE, device=device)

    def one_after_the_other():
        for _ in range(3):
            x.add(x)

    assert peak_bytes(lambda: x.add(x), torch.device(device)) == x.nbytes
    assert peak_bytes(lambda: [x.add(x), x.add(x)], torch.device(device)) == 2 * x.nbytes
    assert peak_bytes(lambda: x.add(x).mul(x).add_(x), torch.device(device)) == 2 * x.nbytes
    assert peak_bytes(one_after_the_other, torch.device(device)) == x.nbytes


def test_the_profiler_says_nothing(capfd):
    peak_bytes(lambda: torch.ones(8), torch.device("cpu"))
    assert capfd.readouterr() == ("", "")
