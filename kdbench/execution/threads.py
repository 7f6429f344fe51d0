"""How many threads a run computes on."""

from __future__ import annotations

import torch

from kdbench.run import Run
from kdbench.training.flops import ForwardFlops

#: Operations of a batch's forward pass below which a second thread costs more than it gives.
SMALL_BATCH_FLOPS = 2e9


def threads_for(run: Run, device: torch.device, flops: ForwardFlops) -> int:
    """One for small networks, all that torch may use for large ones.

    It follows from the run and the machine alone: sums of other lengths would round otherwise, and a run that is
    resumed or put into another cohort must give the same bits.
    """
    networks = [run.student] + ([run.teacher.architecture] if run.teacher else [])
    batch = max(flops(network, run.recipe) for network in networks) * run.recipe.batch_size
    return 1 if device.type == "cpu" and batch < SMALL_BATCH_FLOPS else torch.get_num_threads()
