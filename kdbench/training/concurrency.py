"""Which step a device takes, and on how many lanes: measured on the cohort itself, remembered for a kind of device."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from itertools import count, takewhile

import torch

from kdbench.inputs.errors import unknown
from kdbench.store import kept
from kdbench.training.lanes import CudaLanes, Work
from kdbench.training.step import EagerStep, GraphedStep, Lockstep, Step

#: Where the numbers are kept.
NAME = "concurrency.json"
TIMED_STEPS = 20


#: Names the step: `eager` goes without CUDA graphs, to see where a method fails or to train what cannot be captured.
VARIABLE = "KDBENCH_STEP"
STEPS = ("auto", "eager")


def requested() -> str:
    """What KDBENCH_STEP asks for, `auto` where it is not set; raises `UserError` for what there is not."""
    wanted = os.environ.get(VARIABLE, "auto")
    if wanted not in STEPS:
        raise unknown(f"step in {VARIABLE}", wanted, STEPS)
    return wanted


def make_step(work: Lockstep, device: torch.device, lanes: int) -> Step:
    """Graphs on CUDA, with members on `lanes` streams (0: as many as are measured to be best); eager on a CPU, where
    a network has random layers, and where KDBENCH_STEP says so.

    The batches' epoch must have been drawn.
    """
    # A graph draws the numbers of all members' random layers from one generator, and none would have its own.
    random = any(member.random_layers for member in work.members)
    if device.type == "cpu" or requested() == "eager" or random:
        return EagerStep(work)

    def build(count: int) -> Step:
        return GraphedStep(work, CudaLanes(device, count))

    return build(lanes or chosen_lanes(work, device, build))


def chosen_lanes(work: Lockstep, device: torch.device, build: Callable[[int], Step]) -> int:
    """The number of lanes that is fastest for so many members on this kind of device: measured once."""
    kind = f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, {len(work.members)} members"
    return remembered(kind, lambda: fastest(work, build, lambda step: cuda_seconds(step, device)))


def fastest(work: Lockstep, build: Callable[[int], Step], seconds: Callable[[Work], float]) -> int:
    """The number of lanes with the shortest step, among one for each member and the powers of two below it.

    Members are put back as they were; what is wrong with one shows again when training begins.
    """
    before = [(member, member.snapshot()) for member in work.members]
    times: dict[int, float] = {}
    try:
        below = takewhile(lambda lanes: lanes < len(before), (2**power for power in count()))
        for lanes in (*below, len(before)):
            step = build(lanes)
            try:
                if step(1, 0):
                    break
            except torch.OutOfMemoryError:
                # Each lane has memory of its own: too many for it say nothing of fewer.
                if times:
                    break
                raise
            times[lanes] = seconds(lambda s=step: s(1, 0))  # type: ignore[misc]
    finally:
        work.members[:] = [member for member, _ in before]
        for member, state in before:
            member.restore(state)
        # What an error's frames hold of a step that was too large.
        gc.collect()
    return min(times, key=times.__getitem__, default=1)


def cuda_seconds(work: Work, device: torch.device) -> float:
    """Seconds of `TIMED_STEPS` calls, between two events."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    stream = torch.cuda.current_stream(device)
    begin.record(stream)
    for _ in range(TIMED_STEPS):
        work()
    end.record(stream)
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def remembered(kind: str, measure: Callable[[], int]) -> int:
    """The number kept for `kind` in `concurrency.json` (`kdbench/store/kept.py`), measured now if there is none."""
    known = kept.entries(NAME).get(kind)
    if isinstance(known, int):
        return known
    best = measure()
    kept.add(NAME, {kind: best}, otherwise="the next run measures anew")
    return best
