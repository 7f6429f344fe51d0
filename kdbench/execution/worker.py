"""A worker process: it trains what its parent hands it through a pipe.

The pipe is all that they share. A lock or a queue between several processes stays locked if one of them is killed while
it holds it; a pipe ends, and the other side notices.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal

import torch

from kdbench.execution.interrupt import StopSignal
from kdbench.execution.options import Options
from kdbench.execution.quiet import quiet_libraries
from kdbench.execution.staleness import read_sources
from kdbench.execution.trainer import Trainer
from kdbench.inputs.errors import UserError
from kdbench.inputs.streams import filtered
from kdbench.plugins import load_plugins
from kdbench.run import Run
from kdbench.store import files
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted


@dataclass(frozen=True)
class Order:
    """What a worker is to do with a cohort: train it, or measure a step of it and keep nothing."""

    what: Literal["train", "pace"]
    runs: list[Run]
    threads: int


#: What lets a `pace` go on that has said `ready`.
GO = "go"
#: Asks for an end: after the present batch, all written, where a cohort is in training.
STOP = None


@dataclass(frozen=True)
class Message:
    """What a worker says: an event for the observers, or how its order went.

    `value` is (hook, arguments) of an event; the records or the seconds that are `done`; the `UserError` or else the
    traceback of what `failed`; and None where it is `ready` to be timed, or has `stopped` as it was asked to.
    """

    kind: Literal["event", "ready", "done", "stopped", "failed"]
    value: Any = None


def work(pipe: Connection, store: Store, options: Options, dataset: bytes, environment: Mapping[str, str]) -> None:
    """The life of a worker: orders until it is asked to stop, or its parent is gone.

    `dataset` is the pickled data set, `environment` its parent's variables: a server may have been started with others.
    """
    os.environ.clear()
    os.environ.update(environment)
    # Signals may reach the whole process group; the parent decides when workers stop.
    for number in StopSignal.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # What the file system cannot do the parent has said.
    logging.getLogger(files.__name__).setLevel(logging.ERROR)
    with filtered(), quiet_libraries():
        _work(pipe, store, options, dataset)


def _work(pipe: Connection, store: Store, options: Options, dataset: bytes) -> None:
    orders, stop = queue.SimpleQueue[Any](), threading.Event()
    threading.Thread(target=_listen, args=(pipe, orders, stop), daemon=True).start()

    def say(kind: Any, value: Any = None) -> None:
        # A parent that is gone hears nothing; what is in training is still to be written.
        with contextlib.suppress(OSError):
            pipe.send(Message(kind, value))

    try:
        torch.set_num_threads(1)
        registry = load_plugins(options.plugin_files)
        read_sources(registry)

        def emit(hook: str, **event: Any) -> None:
            say("event", (hook, event))

        trainer = Trainer(store, registry, pickle.loads(dataset), options, stop_requested=stop.is_set, emit=emit)
        while (order := orders.get()) is not STOP:
            if stop.is_set():
                raise Interrupted
            torch.set_num_threads(order.threads)
            if order.what == "train":
                say("done", trainer.train(order.runs))
            else:
                say("done", trainer.pace(order.runs, lambda: _line_up(say, orders)))
    except Interrupted:
        say("stopped")
    except UserError as error:
        say("failed", error)
    except Exception:
        say("failed", traceback.format_exc())


def _listen(pipe: Connection, orders: queue.SimpleQueue[Any], stop: threading.Event) -> None:
    """Take what the parent says as it comes. The end of the pipe is the end of the parent, and asks to stop as well."""
    with contextlib.suppress(EOFError, OSError):
        while (order := pipe.recv()) is not STOP:
            orders.put(order)
    stop.set()
    orders.put(STOP)


def _line_up(say: Callable[[str], None], orders: queue.SimpleQueue[Any]) -> None:
    """Wait for the other workers, so that all are timed at once."""
    say("ready")
    if orders.get() is STOP:
        raise Interrupted
