"""`kdbench doctor`: versions, devices, data and plugins, for a bug report or a first look."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kdbench.cli.options import RESULTS, DataDirOption, DatasetOption, JsonOption, PluginOption, ResultsOption
from kdbench.cli.terminal import tell
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted

if TYPE_CHECKING:
    from kdbench.registry import Registry


def doctor(
    data_dir: DataDirOption = None,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
    dataset: DatasetOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print what kdbench finds on this machine, and with --dataset what training would read of that data set.

    Every image of it is decoded, and broken ones are named. Downloads nothing. Exit code 2, after all that was found,
    if that data set cannot be read.
    """
    found = examine(data_dir, results, plugin or [], dataset)
    tell(json.dumps(found, indent=1, ensure_ascii=False) if as_json else _text(found))
    if dataset and found["read"] is None:
        raise typer.Exit(2)


def examine(data_dir: Path | None, results: Path, plugins: list[Path], dataset: str = "") -> dict[str, Any]:
    """Everything `kdbench doctor` prints, as plain data."""
    import torch

    from kdbench.environment.commit import git_commit
    from kdbench.environment.device import describe_device
    from kdbench.environment.versions import versions
    from kdbench.plugins import load_plugins

    registry = load_plugins(tuple(plugins))
    read, unread = _read(registry, dataset, data_dir) if dataset else (None, [])
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "commit": git_commit(),
        "cpu": describe_device(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "gpus": [describe_device(torch.device("cuda", index)) for index in range(torch.cuda.device_count())],
        "gpu_usable": torch.cuda.is_available(),
        "datasets": {name: registry.dataset_source(name).locations(data_dir) for name in registry.usable("dataset")},
        "plugins": [
            {"name": found.origin, "registered": sum(map(len, found.brought.values())), "error": found.error}
            for found in registry.plugins
        ],
        "problems": [*registry.problems, *unread],
        "results": _results(results),
        "read": read,
    }


def _read(registry: Registry, name: str, data_dir: Path | None) -> tuple[dict[str, Any] | None, list[str]]:
    """What a data set holds: its name, sizes, checksum, classes and sentences on how it was read; and what is wrong.

    Of one that is not on this machine, only a sentence on where it is looked for.
    """
    from kdbench.data.inspection import BrokenImages, inspected
    from kdbench.data.told import told

    try:
        source = registry.dataset(name)
        if not source.available(data_dir):
            return {"told": [f"data set {name} is not read: {source.locations(data_dir)}"]}, []
        dataset = inspected(source, data_dir)
    except BrokenImages as broken:
        return None, broken.named
    except UserError as error:
        return None, [str(error)]
    return {**dataclasses.asdict(dataset.info), "classes": list(dataset.classes), "told": told(dataset)}, []


def _results(folder: Path) -> dict[str, Any]:
    """A results folder's number of records by status, and what is damaged; no counts where there is no folder."""
    from kdbench.store.store import Store

    if not folder.is_dir():
        return {"folder": str(folder), "records": None, "damaged": []}
    found = Store(folder).find()
    statuses = [record.status for record in found.records.values()]
    counts = {status: statuses.count(status) for status in ("done", "failed", "diverged")}
    return {"folder": str(folder), "records": counts, "damaged": [str(damage) for damage in found.damaged]}


def _text(found: dict[str, Any]) -> str:
    lines = [f"python {found['python']}, {found['platform']}"]
    lines.append(", ".join(f"{name} {version}" for name, version in found["packages"].items()))
    lines.append(f"commit {found['commit'] or 'none: not run from a checkout'}")
    lines.append(f"cpu: {found['cpu']}, torch uses {found['threads']} threads")
    lines += [f"cuda:{index}: {gpu}" for index, gpu in enumerate(found["gpus"])]
    lines += [] if found["gpu_usable"] else ["cuda: no GPU that torch can use"]
    lines += [f"data set {name}: {where}" for name, where in found["datasets"].items()]
    lines += found["read"]["told"] if found["read"] else []
    for plugin in found["plugins"]:
        fine = f"fine, brings {counted(plugin['registered'], 'name')}"
        lines.append(f"plugin {plugin['name']}: {plugin['error'] or fine}")
    lines += [f"problem: {problem}" for problem in found["problems"]]
    results = found["results"]
    if results["records"] is None:
        return "\n".join([*lines, f"results: {results['folder']} does not exist yet"])
    counts = ", ".join(f"{count} {status}" for status, count in results["records"].items())
    lines.append(f"results: {results['folder']}, {counted(sum(results['records'].values()), 'record')} ({counts})")
    return "\n".join([*lines, *(f"problem: {damage}" for damage in results["damaged"])])
