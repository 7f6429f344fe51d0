"""Want of memory: a cohort that does not fit is trained in halves."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

import torch

from kdbench.execution.plan import cohorts
from kdbench.run import Run
from kdbench.store.records import Record
from kdbench.store.store import Store


class DoesNotFit(Exception):
    """Memory ran out: `records` of the runs that had ended, the runs `left`, and the device's words with the sizes."""

    def __init__(self, records: list[Record], left: list[Run], reason: str):
        super().__init__(reason)
        self.records = records
        self.left = left
        self.reason = reason


def in_halves(
    runs: list[Run],
    store: Store,
    train: Callable[[list[Run]], list[Record]],
    give_up: Callable[[Run, str], Record],
) -> list[Record]:
    """`train(runs)`; where it raises `DoesNotFit`, the same for each half of what is left, from the last checkpoints.

    A run that does not fit alone is given up with a record.
    """
    waiting, records = [runs], []
    while waiting:
        group = waiting.pop(0)
        try:
            records += train(group)
            continue
        except DoesNotFit as stopped:
            # Only plain data leave this block: the exception's frames hold the tensors that must go.
            ended, left, reason = stopped.records, stopped.left, stopped.reason
        _release()
        records += ended
        if len(group) == 1:
            records += [give_up(run, reason) for run in left]
            continue
        middle = (len(left) + 1) // 2
        parts = [part for half in (left[:middle], left[middle:]) for part in cohorts(half, store)]
        logging.getLogger(__name__).warning(
            "a cohort of %d runs does not fit into memory (%s); going on in %d parts", len(group), reason, len(parts)
        )
        waiting[:0] = parts
    return records


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
