"""What becomes of an error on a stream or in a capture; the streams and graphs are stand-ins."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from kdbench.training.lanes import CudaLanes


class Stream:
    """Notes whom it waits for; `broken` streams cannot be waited for, as those of a broken capture."""

    def __init__(self, name):
        self.name, self.waited, self.broken = name, [], False

    def wait_stream(self, other):
        if other.broken:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.waited.append(other.name)


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in for what lanes use of `torch.cuda`; `current` is its current stream."""
    fake = SimpleNamespace(current=Stream("outside"), made=[])

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
        fake.current = stream
        try:
            yield
        except Exception:
            for lane in fake.made:
                lane.broken = True
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        fake.current = None

    for name, value in {
        "Stream": new,
        "graph_pool_handle": object,
        "current_stream": lambda device: fake.current,
        "stream": stream,
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None, register_generator_state=lambda generator: None),
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return fake


def _want():
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_broken_capture_says_why_it_broke_and_leaves_the_stream_as_it_was(cuda):
    lanes, outside = CudaLanes(torch.device("cuda"), 2), cuda.current
    with pytest.raises(torch.OutOfMemoryError):
        lanes.capture(lambda: lanes.side_by_side([lambda: None, _want]), [])
    assert cuda.current is outside


def test_lanes_are_joined_after_an_error(cuda):
    lanes, outside = CudaLanes(torch.device("cuda"), 2), cuda.current
    trunk, *forked = cuda.made
    with pytest.raises(torch.OutOfMemoryError):
        lanes.warm_up(lambda: lanes.side_by_side([lambda: None, _want]))
    assert trunk.waited == ["outside", *(lane.name for lane in forked)]
    assert outside.waited == [trunk.name]
    assert cuda.current is outside
