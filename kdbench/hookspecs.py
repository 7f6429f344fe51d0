"""Every hook of kdbench. A plugin implements any of them with `@kdbench.hookimpl`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from kdbench.data.dataset import DatasetSource
    from kdbench.method import Method
    from kdbench.model import Architecture
    from kdbench.run import Run
    from kdbench.scheme import ArchitectureScheme
    from kdbench.store.records import Epoch, Record

hookspec = pluggy.HookspecMarker("kdbench")
hookimpl = pluggy.HookimplMarker("kdbench")


@hookspec
def kdbench_methods() -> Iterable[type[Method]]:  # type: ignore[empty-body]
    """Method classes."""


@hookspec
def kdbench_architectures() -> Iterable[Architecture | ArchitectureScheme]:  # type: ignore[empty-body]
    """Networks, and schemes that make them by name."""


@hookspec
def kdbench_datasets() -> Iterable[DatasetSource]:  # type: ignore[empty-body]
    """Data sets."""


@hookspec
def kdbench_grids() -> Iterable[Path]:  # type: ignore[empty-body]
    """Grid files (YAML); a grid's name is its file's stem."""


@hookspec
def kdbench_paper_tables() -> Iterable[Path]:  # type: ignore[empty-body]
    """Files (YAML) of published numbers, which grids name in `paper`."""


@hookspec
def kdbench_run_started(run: Run) -> None:
    """A run begins or continues."""


@hookspec
def kdbench_epoch_ended(run: Run, epoch: Epoch) -> None:
    """A run has finished and evaluated an epoch."""


@hookspec
def kdbench_run_ended(run: Run, record: Record) -> None:
    """A run is done, failed or diverged; its record is written."""
