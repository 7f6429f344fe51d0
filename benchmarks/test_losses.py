"""Loss kernels under pytest-benchmark: `pytest benchmarks/test_losses.py`, the paper's size by default.

`kdbench bench kernels` times the same cases in turns within one process and relates them to the copy bandwidth; this
suite is for pytest-benchmark's own histories and comparisons.
"""

import pytest
import torch

from kdbench.bench.cases import IMPLEMENTATIONS, MEDIUM, ONLY_ON, PAPER

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", [*PAPER, *MEDIUM], ids=lambda case: f"{case.operator} {case.size}")
def test_loss(benchmark, case, implementation, direction):
    if ONLY_ON.get(implementation, DEVICE.type) != DEVICE.type:
        pytest.skip(f"timed on {ONLY_ON[implementation]} only")
    call, leaves = case.bind(implementation, DEVICE)
    upstream = [torch.ones_like(x) for x in call()]

    def finish():
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    def forward():
        outputs = call()
        finish()
        return outputs

    def backward(*outputs):
        torch.autograd.grad(outputs, leaves, upstream)
        finish()

    benchmark.group = f"{case.operator} {case.size}, {direction}"
    benchmark.extra_info.update(bytes=case.bytes, samples=case.batch)
    if direction == "forward":
        benchmark.pedantic(forward, rounds=20, warmup_rounds=3)
    elif direction == "both":
        benchmark.pedantic(lambda: backward(*call()), rounds=20, warmup_rounds=3)
    else:
        benchmark.pedantic(backward, setup=lambda: (call(), {}), rounds=20, warmup_rounds=3)
