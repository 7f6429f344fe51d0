"""Fused losses on CUDA at sizes and in places that the interpreter cannot reach: large, and in replayed graphs.

The other tests of this package also compute Triton's share on the device where there is one.
"""

import pytest
import torch

from kdbench.losses.backend import VARIABLE, choose
from tests.gpu import CUDA, DEVICES, needs_gpu
from tests.losses.support import FUSED, OPERATORS, arguments, assert_agrees, implementation, leaves, mapped, weighted

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

HALF_OR_SINGLE = [torch.float32, torch.float16, torch.bfloat16]


@needs_gpu
@pytest.mark.parametrize("shape", [(16_384, 1000), (65_536, 100), (3, 50_000)], ids=str)
@pytest.mark.parametrize("operator", ["kd", "ce_kd", "deep_kd"])
@pytest.mark.parametrize("backend", FUSED)
def test_large_logits(backend, operator, shape):
    assert_agrees(backend, operator, arguments(operator, *shape, device="cuda"))


@needs_gpu
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("backend", FUSED)
def test_large_maps(backend, dtype, layout):
    args = arguments("deep_mse", 2048, 2730, dtype=dtype, device="cuda")
    assert_agrees(backend, "deep_mse", mapped(args, lambda x: x.contiguous(memory_format=layout)))


@needs_gpu
def test_offsets_beyond_32_bits():
    """The last rows of logits with more than 2³¹ elements are those of these rows alone."""
    batch, classes = 43_008, 50_000
    if torch.cuda.mem_get_info()[0] < 5 * 2 * batch * classes:
        pytest.skip("needs 22 GB of free device memory")
    student = torch.randn(batch, classes, device=CUDA, dtype=torch.bfloat16).requires_grad_()
    teacher = torch.randn(batch, classes, device=CUDA, dtype=torch.bfloat16)
    last = student.detach()[-5:].clone().requires_grad_()
    calls = [(student, teacher), (last, teacher[-5:])]
    losses = [implementation("triton", "kd")(*call, reduction="none") for call in calls]
    torch.testing.assert_close(losses[0][-5:], losses[1])
    (whole,), (part,) = (torch.autograd.grad(loss.sum(), call[0]) for loss, call in zip(losses, calls, strict=True))
    torch.testing.assert_close(whole[-5:], part)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", HALF_OR_SINGLE, ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_a_replayed_graph_computes_on_what_its_inputs_hold_then(backend, operator, dtype, device):
    args = arguments(operator, 16, 100, dtype=dtype, device=device.type)

    def step():
        total = weighted(implementation(backend, operator)(*args))
        return [total.detach(), *torch.autograd.grad(total, leaves(args))]

    replay = captured(step) if device.type == "cuda" else step
    refill(args)
    got = [x.clone() for x in replay()]
    expected = step()
    assert all(x.isfinite().all() for x in expected)
    torch.testing.assert_close(got, expected)


@needs_gpu
def test_triton_is_chosen_on_a_gpu(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    head, teacher = arguments("kd", 64, 100, device="cuda")
    assert choose([head], [teacher]) == "triton"


def captured(step):
    """`step` as a replayed graph; the replay gives its outputs."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step()

    def replay():
        for x in outputs:
            x.fill_(float("nan"))
        graph.replay()
        return outputs

    return replay


def refill(args):
    """Other random values in the place of those that `args` hold."""
    with torch.no_grad():
        for given in args:
            for x in given if isinstance(given, list) else [given]:
                if x.is_floating_point():
                    x.copy_(torch.randn(x.shape))
