"""Timing on a CPU and on CUDA: medians with 20 and 80 % quantiles."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

#: Bytes copied to measure a device's bandwidth: far beyond the caches.
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}
#: Clock cycles of a GPU, some 0.2 ms, in which the host launches a graph and records two events.
LAUNCH_CYCLES = 400_000


@dataclass(frozen=True)
class Timing:
    """Seconds: the median and the quantiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Timing":
        low, median, high = torch.tensor(seconds, dtype=torch.float64).quantile(
            torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
        )
        return cls(median.item(), low.item(), high.item())


def seconds_of(call: Callable[[], object], device: torch.device, *, queued: bool = False) -> float:
    """How long one call takes: by the clock on a CPU, between two events on CUDA.

    An idle GPU waits for the call to be launched, which then counts. With `queued` it is kept busy until then, and only
    its own time is told.
    """
    if device.type == "cpu":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    if queued:
        torch.cuda._sleep(LAUNCH_CYCLES)  # type: ignore[no-untyped-call]
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def processor_seconds() -> float:
    """Processor time of this process and all below it; of this one alone where the system does not tell of others."""
    tick = os.sysconf("SC_CLK_TCK")
    pids, seconds = [os.getpid()], 0.0
    while pids:
        folder = Path(f"/proc/{pids.pop()}")
        # One that ends meanwhile is told of by who waits for it.
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) / tick
            for task in (folder / "task").iterdir():
                pids += map(int, (task / "children").read_text().split())
    return seconds or time.process_time()


def captured(call: Callable[[], object]) -> Callable[[], object]:
    """`call` as a replayed CUDA graph. What it returned while it was captured lives as long as the graph."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()

    def replay(_result: object = result) -> None:
        graph.replay()

    return replay


def copy_bandwidth(device: torch.device, repeats: int = 15) -> float:
    """Bytes a second that a large copy within `device` moves, read and written."""
    source = torch.ones(COPY_BYTES[device.type] // 4, device=device)
    target = torch.zeros_like(source)
    seconds = [seconds_of(lambda: target.copy_(source), device) for _ in range(repeats + 2)][2:]
    return 2 * source.numel() * source.element_size() / Timing.of(seconds).median
