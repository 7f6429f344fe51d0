"""`kdbench teachers`: train, import and list teachers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdbench.cli import options
from kdbench.cli.completion import names
from kdbench.cli.options import RESULTS
from kdbench.cli.terminal import tell
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.data.dataset import DatasetSource

app = typer.Typer(help="Train, import and list teachers.", no_args_is_help=True)


@app.command("train")
def train(
    architecture: Annotated[
        str,
        typer.Argument(autocompletion=names("architecture"), help="A network's name (`kdbench list architectures`)."),
    ],
    dataset: Annotated[str, typer.Option("--dataset", autocompletion=names("dataset"))] = "cifar100",
    recipe: options.RecipeOption = "crd240",
    settings: options.SetOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    data_dir: options.DataDirOption = None,
    device: options.DeviceOption = "auto",
    results: options.ResultsOption = RESULTS,
    plugin: options.PluginOption = None,
) -> None:
    """Train a teacher as a grid with this data set and recipe would, so that the grid finds it done."""
    from kdbench.cli.console import Terminal
    from kdbench.cli.planned import milestone_warning, precision_warning
    from kdbench.cli.progress import display, ending
    from kdbench.cli.values import parse_settings, registry_with
    from kdbench.data.opened import OpenDataset
    from kdbench.data.told import told
    from kdbench.environment.device import resolve_device
    from kdbench.execution.interrupt import StopSignal
    from kdbench.execution.options import Options
    from kdbench.execution.plan import Plan
    from kdbench.execution.schedule import execute
    from kdbench.execution.staleness import Present
    from kdbench.inputs.commands import command_line
    from kdbench.recipe import load_recipe
    from kdbench.run import Run
    from kdbench.store.store import Store

    registry = registry_with(plugin)
    network = registry.architecture(architecture)
    data = OpenDataset(registry.dataset(dataset), data_dir)
    overrides, params, networks = parse_settings(settings or [])
    if networks:
        raise UserError(f"write a network's settings behind its name: {network.name}+ARGUMENT=VALUE.")
    if params:
        raise UserError("a teacher is trained without a method; `--set` takes only recipe.KEY=VALUE here.")
    run = Run(
        role="teacher",
        dataset=data.info.name,
        teacher=None,
        student=network.name,
        method="supervised",
        params={},
        recipe=load_recipe(recipe, overrides).resolved(network.family),
        seed=seed,
    )
    store = Store(results)
    record = store.record(run.id)
    if record and record.status == "done":
        tell(f"{run.title} is trained: {record.top1_last:.2f} %, {store.weights_path(run.id)}")
        if why := Present(registry, data.info.checksum).why_stale(run, record.basis, {}):
            tell(f"it is stale, since {why}; `kdbench run … --rerun stale` trains it again")
        return
    chosen = resolve_device(device)
    say = Terminal()
    for line in told(data.loaded):
        say.print(line)
    for warning in filter(None, (milestone_warning(run.recipe), precision_warning(run.recipe, chosen))):
        say.print(warning)
    shown = display(say, [run], store, registry, data.loaded.info)
    with StopSignal() as stop, shown, registry.observing(shown):
        how = Options(device=chosen, command=command_line())
        summary = execute(Plan([run], {}, []), store, registry, data.loaded, how, stop.requested, say.print)
    if summary.interrupted:
        say.print(f"Stopped; what is done is kept. To go on: {command_line()}")
        raise typer.Exit(stop.exit_code)
    # Another process may have trained it meanwhile.
    record = store.record(run.id)
    if record and record.status == "done":
        tell(f"weights: {store.weights_path(run.id)}")
    else:
        # What was trained here has been told.
        if record and run.id in summary.others:
            say.print(ending(run.title, record))
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            parser=paths.file,
            metavar="FILE",
            help="A checkpoint with a zoo's names: a file of torch.save or safetensors.",
        ),
    ],
    arch: Annotated[str, typer.Option("--arch", autocompletion=names("architecture"), help="The network it holds.")],
    num_classes: Annotated[int, typer.Option("--num-classes", min=2)] = 100,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            parser=paths.new_file,
            metavar="FILE",
            help="Default: FILE with .safetensors; if it has that, with the network's name.",
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option("--prefix", help="Where in the file the weights stand, if several fit: what is before each name."),
    ] = None,
    dataset: Annotated[str, typer.Option("--dataset", help="Where to measure it, if the data are there.")] = "cifar100",
    data_dir: options.DataDirOption = None,
    device: options.DeviceOption = "auto",
    plugin: options.PluginOption = None,
) -> None:
    """Turn a checkpoint into a safetensors file for --teacher, without running anything that the checkpoint contains.

    The weights are found by their names and shapes, wherever in the file they stand and whatever precedes their names.
    """
    from kdbench.cli.values import registry_with
    from kdbench.data.delivery import test_images
    from kdbench.environment.device import resolve_device
    from kdbench.execution.loaders import loaders
    from kdbench.execution.quiet import quiet_libraries
    from kdbench.recipe import load_recipe
    from kdbench.store.weights import load_weights, save_weights
    from kdbench.store.zoo import read_zoo_checkpoint
    from kdbench.training.evaluation import tally
    from kdbench.training.numerics import numerics

    registry = registry_with(plugin)
    network = registry.architecture(arch)
    target = output or paths.new_file(_target(file, network.name))
    if target.exists():
        raise UserError(f"{target} already exists and is not overwritten; choose another name with -o.")
    read = read_zoo_checkpoint(file, network, num_classes, prefix)
    tensors = read.tensors
    if read.prefix:
        tell(f"taken from behind '{read.prefix}'")
    model = network.build(num_classes)
    model.load_state_dict(tensors)
    metadata = {"source": file.name}
    source = registry.dataset(dataset)
    unmeasured = _cannot_measure(source, data_dir, num_classes)
    if unmeasured:
        tell(f"not measured: {unmeasured}")
    else:
        chosen = resolve_device(device)
        loaded = source.load(data_dir)
        # Images of several sizes as torchvision's weights were measured: 256 pixels, and of them the middle 224.
        recipe = load_recipe("crd240" if loaded.info.input_size else "imagenet100")
        with numerics(recipe.precision), quiet_libraries():
            batches = test_images(loaded, recipe.augmentation, chosen, loaders(chosen, registry))
            score = tally(model.to(chosen), batches, recipe.autocast, chosen).score()
        top1 = score.top1
        tell(
            f"{network.name} on {loaded.info.name}: {top1:.2f} % top-1"
            + (f", {score.top5:.2f} % top-5" if score.top5 is not None else "")
        )
        metadata[f"top1 {loaded.info.name}"] = repr(top1)
    digest = save_weights(tensors, target, network.name, num_classes, metadata)
    load_weights(network.build(num_classes), target, network.name)
    tell(f"{target}: {network.name}, {num_classes} classes, sha256 {digest}")
    tell(f"to use it: kdbench run … --teacher {shlex.quote(f'{network.name}={target}')}")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A teacher's row as a table has it: its accuracy to two places, and of its digest what tells it apart."""
    top1, digest = row["top1_last"], row["sha256"]
    return {**row, "top1_last": "" if top1 is None else f"{top1:.2f}", "sha256": digest[:12] if digest else ""}


def _target(file: Path, network: str) -> Path:
    target = file.with_suffix(".safetensors")
    # No file on Windows has a colon in its name.
    return file.with_name(f"{file.stem}-{network.replace(':', '-')}.safetensors") if target == file else target


def _cannot_measure(source: DatasetSource, data_dir: Path | None, num_classes: int) -> str | None:
    info = source.info(data_dir)
    if info.num_classes != num_classes:
        return f"{info.name} has {info.num_classes} classes, the network {num_classes}"
    if not source.available(data_dir):
        return f"{info.name} is not on this machine ({source.locations(data_dir)})"
    return None


@app.command("list")
def list_(results: options.ResultsOption = RESULTS, as_json: options.JsonOption = False) -> None:
    """Teachers that were trained into a results folder."""
    from tabulate import tabulate

    from kdbench.cli.reading import existing_store

    store = existing_store(results)
    rows = [
        {
            "teacher": record.run.student,
            "dataset": record.run.dataset,
            "epochs": record.run.recipe.epochs,
            "seed": record.run.seed,
            "status": record.status,
            "top1_last": record.top1_last if record.status == "done" else None,
            "sha256": record.weights_sha256,
            "weights": str(store.weights_path(record.id)),
        }
        for record in store.find().records.values()
        if record.run.role == "teacher"
    ]
    if as_json:
        tell(json.dumps(rows, indent=1))
    else:
        shown = tabulate([_shown(row) for row in rows], headers="keys", disable_numparse=True)
        tell(shown or f"no teachers in {results} yet")
