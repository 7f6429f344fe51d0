"""The harness's own plugin: data sets, grids and the paper's tables that come with it."""

from importlib.resources import files
from pathlib import Path

from kdbench.data import BUILTIN_SOURCES
from kdbench.data.dataset import DatasetSource
from kdbench.hookspecs import hookimpl


@hookimpl
def kdbench_datasets() -> list[DatasetSource]:
    return list(BUILTIN_SOURCES)


@hookimpl
def kdbench_grids() -> list[Path]:
    return _yaml_files("kdbench.grids")


@hookimpl
def kdbench_paper_tables() -> list[Path]:
    return _yaml_files("kdbench.grids.paper")


def _yaml_files(package: str) -> list[Path]:
    folder = Path(str(files(package)))
    return sorted(folder.glob("*.yaml"))
