"""How many cohorts a GPU trains at one time, each in a process of its own: measured once for a kind of device."""

from __future__ import annotations

from collections.abc import Callable

import torch

from kdbench.execution.footprint import Footprint
from kdbench.execution.jobs import Job
from kdbench.training.concurrency import remembered

MOST = 4
#: What twice as many processes must gain: each takes memory and cores of the host, and the measure has its noise.
GAIN = 1.05
#: A process's memory in footprints of its cohort, which leave out methods' modules, workspaces and CUDA's own.
FOOTPRINTS = 2


def measured_workers(
    jobs: list[Job], device: torch.device, footprint: Footprint, rate: Callable[[Job, int], float]
) -> int:
    """The number of processes for which `rate(job, processes)`, the steps a second of all together, is best."""
    largest = max(jobs, key=lambda job: len(job.runs))
    free, _ = torch.cuda.mem_get_info(device)
    possible = min(MOST, len(jobs), free // (FOOTPRINTS * footprint.cohort(largest.runs)))
    if possible < 2:
        return 1
    # Sizes alike are not measured one by one: it takes a minute of the device.
    most, members = (2 ** (number.bit_length() - 1) for number in (possible, len(largest.runs)))
    name = torch.cuda.get_device_name(device)
    kind = f"{name}, torch {torch.__version__}, up to {most} cohorts of {members} to {2 * members - 1} members"
    return remembered(kind, lambda: best_count(most, lambda count: rate(largest, count)))


def best_count(most: int, rate: Callable[[int], float]) -> int:
    """Doubles the count as long as the rate grows by `GAIN`."""
    count, best = 1, rate(1)
    while 2 * count <= most and (together := rate(2 * count)) > GAIN * best:
        count, best = 2 * count, together
    return count
