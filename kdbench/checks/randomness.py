"""The random states of the process, set, compared and put back."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from kdbench.data.seeds import stream


def global_states() -> dict[str, Any]:
    """The state of every global random number generator, in a form that `==` compares."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": [state.tolist() for state in (torch.get_rng_state(), *gpus)],
        "numpy.random": pickle.dumps(np.random.get_state()),
        "random": random.getstate(),
    }


def drawn_from(before: dict[str, Any]) -> list[str]:
    """The global generators that have moved on since `before`, what `global_states` gave."""
    return [name for name, state in global_states().items() if state != before[name]]


@contextmanager
def global_seed(*parts: str | int) -> Iterator[None]:
    """Inside, every global generator starts from a seed that follows from `parts`; outside, all are as they were."""
    before = random.getstate(), np.random.get_state()
    seed = stream(*parts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
