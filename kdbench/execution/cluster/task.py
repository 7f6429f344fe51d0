"""What runs on the machines of a cluster: a cohort, trained in a folder of its own whose files go to the driver.

The trainer finds there what it would find in a results folder, and writes there as ever.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from kdbench.execution.cluster.parcel import Parcel, unpack
from kdbench.execution.cluster.scratch import scratch
from kdbench.execution.options import Options
from kdbench.execution.quiet import quiet_libraries
from kdbench.execution.staleness import read_sources
from kdbench.execution.trainer import Trainer
from kdbench.inputs.errors import UserError
from kdbench.inputs.streams import filtered
from kdbench.plugins import load_plugins
from kdbench.run import Run
from kdbench.store.records import Record, dump_record
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted

#: Messages wait so long for others to go with them, in seconds: each takes the driver's time.
GATHER_SECONDS = 0.5


@dataclass(frozen=True)
class Cohort:
    """What a task is given. `files` are those of the results folder that it starts from, by their path there, as bytes
    or as references to them; `imported` are weights, by their sha256.
    """

    runs: list[Run]
    threads: int
    options: Options
    files: Mapping[Path, Any]
    imported: Mapping[str, Any]
    variables: Mapping[str, str]


class Event(NamedTuple):
    """A lifecycle event of a run, for the driver's observers; `arguments` are those beside the run, which it knows."""

    hook: str
    run_id: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """What is to be kept of a run: a checkpoint, or a record, dumped, with the files that it names, by their path."""

    run_id: str
    files: dict[Path, bytes] = field(default_factory=dict)
    record: Record | None = None
    dumped: bytes = b""


@dataclass(frozen=True)
class Failed:
    """Why nothing more comes: a `UserError`, or the traceback of what is no user's mistake."""

    why: UserError | str


Message = Event | Kept | Failed


def train(cohort: Cohort, parcel: Parcel, stop: Any) -> Iterator[list[Message]]:
    """Train a cohort until it ends or the actor `stop` says so; what there is to tell, as it comes."""
    # Processes are used again: by another command's word they may have other variables.
    os.environ.update(cohort.variables)
    messages = queue.Queue[Message | None](maxsize=64)
    training = threading.Thread(target=_train, args=(cohort, parcel, _asked(stop), messages), daemon=True)
    with filtered(), quiet_libraries():
        training.start()
        going = True
        while going:
            gathered = [messages.get()]
            until = time.monotonic() + GATHER_SECONDS
            while gathered[-1] is not None and (left := until - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    gathered.append(messages.get(timeout=left))
            going = gathered[-1] is not None
            yield [message for message in gathered if message is not None]
        training.join()


def _train(cohort: Cohort, parcel: Parcel, stop: threading.Event, messages: queue.Queue[Message | None]) -> None:
    try:
        with scratch() as folder:
            # Of this thread, which is the one that computes.
            torch.set_num_threads(cohort.threads)
            _trainer(cohort, parcel, Store(folder), stop, messages).train(cohort.runs)
    except Interrupted:
        pass
    except UserError as error:
        messages.put(Failed(error))
    except Exception:
        messages.put(Failed(traceback.format_exc()))
    finally:
        messages.put(None)


def _trainer(
    cohort: Cohort, parcel: Parcel, store: Store, stop: threading.Event, messages: queue.Queue[Message | None]
) -> Trainer:
    for path, content in cohort.files.items():
        _put(store.root / path, content)
    imported = {sha256: store.root / "imported" / sha256 for sha256 in cohort.imported}
    for sha256, path in imported.items():
        _put(path, cohort.imported[sha256])

    def emit(hook: str, **event: Any) -> None:
        record = event.get("record")
        if record is None:
            messages.put(Event(hook, event.pop("run").id, event))
            return
        files = [path for path in (store.weights_path(record.id), store.final_path(record.id)) if path.exists()]
        environment = record.environment | {"host": socket.gethostname()}
        record = record.model_copy(update={"environment": environment})
        # The driver tells of it when it has it.
        contents = {path.relative_to(store.root): path.read_bytes() for path in files}
        messages.put(Kept(record.id, contents, record, dump_record(record)))

    def checkpointed(run_id: str) -> None:
        path = store.checkpoint_path(run_id)
        messages.put(Kept(run_id, {path.relative_to(store.root): path.read_bytes()}))

    registry = load_plugins(cohort.options.plugin_files)
    read_sources(registry)
    options = replace(cohort.options, imported=imported)
    return Trainer(
        store,
        registry,
        unpack(parcel),
        options,
        stop_requested=stop.is_set,
        emit=emit,
        checkpointed=checkpointed,
    )


def _put(path: Path, content: Any) -> None:
    import ray

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ray.get(content) if isinstance(content, ray.ObjectRef) else content)


#: By actor: a process is used for one cohort after the other, and watches once.
_watched: dict[str, threading.Event] = {}


def _asked(stop: Any) -> threading.Event:
    """Set once the driver wants an end, or is gone."""
    import ray

    def watch() -> None:
        with contextlib.suppress(Exception):
            ray.get(stop.wait.remote())
        event.set()

    name = stop._actor_id.hex()
    if name not in _watched:
        event = _watched[name] = threading.Event()
        threading.Thread(target=watch, daemon=True).start()
    return _watched[name]
