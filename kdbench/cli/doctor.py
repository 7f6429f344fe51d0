"""`kdbench doctor`: versions, devices, data and plugins, for a bug report or a first look."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from kdbench.cli.options import RESULTS, DataDirOption, PluginOption, ResultsOption
from kdbench.environment import describe_device, git_commit, versions
from kdbench.plugins import load_plugins
from kdbench.store.store import Store


def doctor(data_dir: DataDirOption = None, results: ResultsOption = RESULTS, plugin: PluginOption = None) -> None:
    """Print what kdbench finds on this machine."""
    registry = load_plugins(tuple(plugin or ()))
    print(f"python {platform.python_version()}, {platform.platform()}")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print(f"commit {git_commit() or 'none: not run from a checkout'}")
    print(f"cpu: {describe_device(torch.device('cpu'))}, torch uses {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        print(f"cuda:{index}: {describe_device(torch.device('cuda', index))}")
    if not torch.cuda.is_available():
        print("cuda: no GPU that torch can use")
    for name in registry.usable("dataset"):
        print(f"data set {name}: {registry.dataset_source(name).locations(data_dir)}")
    for found in registry.plugins:
        count = sum(map(len, found.brought.values()))
        print(f"plugin {found.origin}: {found.error or f'fine, {count} things registered'}")
    for problem in registry.problems:
        print(f"problem: {problem}")
    print(_results(results))


def _results(folder: Path) -> str:
    if not folder.is_dir():
        return f"results: {folder} does not exist yet"
    found = Store(folder).find()
    records = list(found.records.values())
    counts = ", ".join(
        f"{sum(r.status == status for r in records)} {status}" for status in ("done", "failed", "diverged")
    )
    damaged = "".join(f"\nproblem: {damage}" for damage in found.damaged)
    return f"results: {folder}, {len(records)} records ({counts}){damaged}"
