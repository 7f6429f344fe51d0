"""How much memory a call takes while it runs."""

import os
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Most bytes that `call` holds at one time through PyTorch's allocator of `device`, its results included.

    It should free nothing that was there before: on CUDA that would hide as much of what it takes.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # PyTorch counts no bytes on a CPU, but its profiler sees each block come and go, whoever asked for it.
    quiet = patch.dict(os.environ, {"KINETO_LOG_LEVEL": "99"})  # it speaks of missing GPUs on standard error
    with quiet, profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        results = call()
    assert profiled.profiler is not None and profiled.profiler.kineto_results is not None
    events = [x for x in profiled.profiler.kineto_results.events() if x.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    del results  # until here: what is returned counts
    return peak
