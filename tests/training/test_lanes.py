"""What becomes of an error on a stream or in a capture; the streams and graphs are stand-ins."""

import contextlib
import re
from types import SimpleNamespace

import pytest
import torch

from kdbench.training.lanes import CudaLanes, lacks_memory
from kdbench.training.step import attempt


class Stream:
    """Notes whom it waits for; `broken` streams cannot be waited for, as those of a broken capture."""

    def __init__(self, name):
        self.name, self.waited, self.broken, self.device_index = name, [], False, 0

    def wait_stream(self, other):
        if other.broken:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.waited.append(other.name)


class Graph:
    def replay(self):
        pass

    def pool(self):
        return f"pool {id(self)}"


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for what lanes use of `torch.cuda`: `current` is its current stream, and `open` and `held` are the
    pools that its allocator serves captures from, and those that it has not released.
    """
    fake = SimpleNamespace(current=Stream("outside"), made=[], pools=[], open=[], held=[])

    def new(device):
        fake.made.append(Stream(f"stream {len(fake.made)}"))
        return fake.made[-1]

    @contextlib.contextmanager
    def stream(wanted):
        before, fake.current = fake.current, wanted
        try:
            yield
        finally:
            fake.current = before

    @contextlib.contextmanager
    def graph(graph, pool, stream, capture_error_mode):
        assert not fake.open, "captures_underway.empty() INTERNAL ASSERT FAILED"
        fake.current = stream
        fake.pools.append(pool)
        fake.open.append(pool)
        fake.held.append(pool)
        try:
            yield
        except Exception:
            for lane in fake.made:
                lane.broken = True
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        fake.current = None
        fake.open.remove(pool)

    def end(device, pool):
        if pool not in fake.open:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        fake.open.remove(pool)

    for name, value in {
        "Stream": new,
        "current_stream": lambda device: fake.current,
        "stream": stream,
        "CUDAGraph": Graph,
        "graph": graph,
        "graph_pool_handle": lambda: f"new pool {len(fake.pools)}",
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda device, pool: fake.held.remove(pool))
    return fake


def _want():
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_broken_capture_says_why_it_broke_and_leaves_the_stream_as_it_was(cuda):
    lanes, outside = CudaLanes(torch.device("cuda"), 2), cuda.current
    with pytest.raises(torch.OutOfMemoryError):
        lanes.capture(lambda: lanes.side_by_side([lambda: None, _want]), [])
    assert cuda.current is outside


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "FIND was unable to find an engine to execute this computation",
    ],
)
def test_memory_that_cuda_takes_beside_pytorch_is_memory_too(cuda, said):
    """As a graph does when it is made out of a capture."""

    def fail():
        raise RuntimeError(said)

    with pytest.raises(torch.OutOfMemoryError, match=re.escape(said)):
        CudaLanes(torch.device("cuda"), 1).capture(fail, [])
    with pytest.raises(torch.OutOfMemoryError, match=re.escape(said)):
        attempt(None, fail)
    assert not lacks_memory(RuntimeError("the size of tensor a must match")) and not lacks_memory(ValueError(said))


def test_graphs_share_the_memory_of_one_that_lives_and_of_no_other(cuda):
    lanes = CudaLanes(torch.device("cuda"), 1)
    first = lanes.capture(lambda: None, [])
    second = lanes.capture(lambda: None, [])
    assert cuda.pools == ["new pool 0", f"pool {id(first.__self__)}"]
    del first, second
    third = lanes.capture(lambda: None, [])
    with pytest.raises(torch.OutOfMemoryError):
        lanes.capture(_want, [])
    lanes.capture(lambda: None, [])
    assert cuda.pools[2:] == ["new pool 2", f"pool {id(third.__self__)}", "new pool 4"]


def test_the_allocator_leaves_a_capture_that_cannot_be_ended(cuda):
    """As PyTorch 2.11 does not by itself: it would take no further capture."""
    lanes = CudaLanes(torch.device("cuda"), 1)
    first = lanes.capture(lambda: None, [])
    with pytest.raises(torch.OutOfMemoryError):
        lanes.capture(_want, [])
    assert not cuda.open and cuda.held == ["new pool 0"]
    lanes.capture(first, [])


def test_lanes_are_joined_after_an_error(cuda):
    lanes, outside = CudaLanes(torch.device("cuda"), 2), cuda.current
    trunk, *forked = cuda.made
    with pytest.raises(torch.OutOfMemoryError):
        lanes.warm_up(lambda: lanes.side_by_side([lambda: None, _want]))
    assert trunk.waited == ["outside", *(lane.name for lane in forked)]
    assert outside.waited == [trunk.name]
    assert cuda.current is outside
