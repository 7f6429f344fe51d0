"""Who reads images while a cohort trains: how many processes, and how they come into being."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from kdbench.data.reading import Loaders
from kdbench.execution import birth
from kdbench.execution.allocator import keep_freed_memory
from kdbench.execution.interrupt import StopSignal
from kdbench.plugins import load_plugins
from kdbench.registered.offers import FILE
from kdbench.registry import Registry

#: Of one cohort: more were not seen to be of use to the field's own loaders.
MOST = 16


@dataclass(frozen=True)
class PluginFiles:
    """Files of plugins, which are imported where this is sent to: classes in them have no other home."""

    files: tuple[Path, ...]

    def __reduce__(self) -> tuple[object, ...]:
        return load_plugins, (self.files,)


def loaders(device: torch.device, registry: Registry, cohorts: int = 1) -> Loaders:
    """For one cohort, where so many train at a time on the GPUs of this machine; the data may be a plugin's.

    On a CPU one process reads beside a cohort that computes on all threads, for a core decodes what ten train on; one
    on a single thread reads for itself, since others train on the other cores. On a GPU it is the cohort's share of the
    cores, less the one that feeds the GPU.
    """
    on_a_cpu = int(torch.get_num_threads() > 1)
    number = on_a_cpu if device.type == "cpu" else min(MOST, max(1, _cores() // cohorts - 1))
    files = tuple(Path(plugin.distribution) for plugin in registry.plugins if plugin.version == FILE)
    before = PluginFiles(files) if files else None
    return Loaders(number, birth.context(), birth.quiet_birth, begin, before)


def begin() -> None:
    """What a reading process does first: signals may reach the whole process group, and whom it reads for decides when
    it ends; what libraries warn of is for their developers.
    """
    keep_freed_memory()
    for number in StopSignal.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
