"""Streams and graphs of a device, as much of them as a training step needs."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

Work = Callable[[], None]
#: What errors say that are want of memory without their class saying so.
WANT = ("out of memory", "STATUS_ALLOC_FAILED", "unable to find an engine")


def lacks_memory(error: Exception) -> bool:
    """Whether memory is what is wanting: PyTorch's own, what CUDA takes beside it for graphs, code and libraries, or
    room for what a convolution works in, without which PyTorch says that it found no engine for it.
    """
    said = str(error)
    beside = isinstance(error, RuntimeError) and any(words in said for words in WANT)
    return beside or isinstance(error, torch.OutOfMemoryError)


class Lanes(Protocol):
    """Where the members of a cohort compute side by side. All work is given in order and done in that order on a lane;
    the n-th piece goes to the same lane every time.
    """

    def warm_up(self, work: Work) -> None:
        """Run `work` where it will be captured; what follows waits for it."""

    def capture(self, work: Work, generators: Sequence[torch.Generator]) -> Work:
        """Record `work` without running it; calling the result runs it anew, with the generators' state of then."""

    def side_by_side(self, pieces: Sequence[Work]) -> None:
        """Within `work`: run the pieces on as many lanes as there are; all of them wait for what came before, and what
        follows waits for all.
        """


class CudaLanes:
    """CUDA streams and graphs. Graphs of one instance share memory, so they must not run at one time."""

    def __init__(self, device: torch.device, count: int):
        self._device = device
        self._trunk = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._lanes = [torch.cuda.Stream(device) for _ in range(count)]  # type: ignore[no-untyped-call]
        self._last: Callable[[], torch.cuda.CUDAGraph | None] = lambda: None

    def warm_up(self, work: Work) -> None:
        outside = torch.cuda.current_stream(self._device)
        self._trunk.wait_stream(outside)
        try:
            with torch.cuda.stream(self._trunk):
                work()
        finally:
            outside.wait_stream(self._trunk)

    def capture(self, work: Work, generators: Sequence[torch.Generator]) -> Work:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        # Memory is shared with a graph that lives: PyTorch takes no capture into the pool of graphs that are gone while
        # something of theirs, such as the gradients of a member that left, is still there; nor of one that failed.
        last, self._last = self._last(), lambda: None
        pool = last.pool() if last else torch.cuda.graph_pool_handle()
        reason: Exception | None = None
        # The outer context because a capture that fails to end may leave its own stream the current one.
        outside = torch.cuda.stream(torch.cuda.current_stream(self._device))
        try:
            # Other threads may go on calling CUDA while this one captures.
            with outside, torch.cuda.graph(graph, pool, self._trunk, capture_error_mode="thread_local"):
                try:
                    work()
                except Exception as error:
                    reason = error
                    raise
        except Exception as error:
            self._leave(pool)
            # Ending a broken capture raises once more, and hides why it broke: want of memory must stay just that.
            why = reason or error
            if lacks_memory(why) and not isinstance(why, torch.OutOfMemoryError):
                raise torch.OutOfMemoryError(str(why)) from why
            raise why from None
        self._last = weakref.ref(graph)
        return graph.replay

    def _leave(self, pool: tuple[int, int]) -> None:
        """Have PyTorch's allocator leave a capture that could not be ended.

        Before pytorch#180395 (in 2.11 and 2.12) it stays there, and then refuses to empty its cache, with which every
        capture of the process begins.
        """
        device = self._trunk.device_index
        with contextlib.suppress(RuntimeError):  # it is not there
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)

    def side_by_side(self, pieces: Sequence[Work]) -> None:
        trunk = torch.cuda.current_stream(self._device)
        used = self._lanes[: len(pieces)]
        for lane in used:
            lane.wait_stream(trunk)
        try:
            for number, piece in enumerate(pieces):
                with torch.cuda.stream(used[number % len(used)]):
                    piece()
        except Exception:
            # Memory that is freed now must not be written by what still runs. A broken capture cannot be joined.
            with contextlib.suppress(RuntimeError):
                _join(trunk, used)
            raise
        _join(trunk, used)


def _join(trunk: torch.cuda.Stream, lanes: Sequence[torch.cuda.Stream]) -> None:
    for lane in lanes:
        trunk.wait_stream(lane)
