"""How worker processes come into being."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from unittest.mock import patch

from kdbench.execution.interrupt import held_back

#: What every worker imports: PyTorch's compiler, too, with the first step of an optimizer.
MODULES = ("kdbench.execution.worker", "torch._dynamo")
#: A forked torch may hang in its thread pools, so nothing is forked that has computed: where fork is sound at all,
#: workers are forked from a server that has only imported. macOS's own libraries do not bear even that.
_FORKS = sys.platform == "linux"


def context() -> ForkServerContext | SpawnContext:
    """What makes worker processes, within `quiet_birth`."""
    if not _FORKS:
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(MODULES))
    return server


def expect_workers() -> None:
    """Let a server import what workers need, while this process does something else: the sooner they are ready.

    It ends with this process.
    """
    if _FORKS:
        context()
        with quiet_birth():
            forkserver.ensure_running()


@contextlib.contextmanager
def quiet_birth() -> Iterator[None]:
    """Inside the context a new process imports nothing from the working folder, and no signal ends it before it can say
    what it does with them.
    """
    # A new interpreter would first of all import from the working folder, whatever lies there.
    with patch.dict(os.environ, {"PYTHONSAFEPATH": "1"}):
        # It would let go of signals if it were started together with the process.
        resource_tracker.ensure_running()
        with held_back():
            yield
