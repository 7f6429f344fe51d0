"""`kdbench bench`: how fast this machine is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from kdbench.cli import options
from kdbench.cli.completion import names, several
from kdbench.cli.terminal import tell
from kdbench.inputs import paths
from kdbench.inputs.errors import UserError, unknown

app = typer.Typer(help="Benchmarks of this machine.", no_args_is_help=True)

#: Cohort sizes on CUDA; on a CPU, where members take turns, one of all methods says everything.
MEMBERS = (1, 2, 4, 8, 16, 24)
#: Cohort sizes of the benchmark of reading, beside one.
LOADER_MEMBERS = (4, 8)
#: How many times its saved median a measurement may take, with `--compare`.
BOUND = 1.2


@app.command("train")
def train(
    pair: Annotated[str, typer.Option(help="TEACHER:STUDENT.")],
    methods: Annotated[str, typer.Option(autocompletion=several("method"), help="Methods, comma-separated.")],
    device: options.DeviceOption = "auto",
    steps: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 20,
    members: Annotated[list[int] | None, typer.Option(min=1, help="Size of a cohort. May be repeated.")] = None,
    precision: options.PrecisionOption = "fp32",
    recipe: Annotated[
        str, typer.Option(autocompletion=names("recipe"), help="Recipe; its batch size and epochs count.")
    ] = "crd240",
    dataset: options.DatasetOption = "cifar100",
    data_dir: options.DataDirOption = None,
    lanes: Annotated[int, typer.Option(min=1, help="CUDA streams that the members of a cohort share.")] = 8,
    plugin: options.PluginOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Students per hour of the cohort engine, of a plain loop as the field writes it, and of a good plain loop.

    Ctrl-C or SIGTERM ends it after the present round; what has been measured is printed.
    """
    import torch

    from kdbench.bench.train import run_training
    from kdbench.bench.train_data import dataset_or_noise
    from kdbench.bench.train_loops import Setting
    from kdbench.bench.train_report import render, to_json
    from kdbench.cli.values import registry_with, words
    from kdbench.environment.device import resolve_device
    from kdbench.execution.interrupt import StopSignal
    from kdbench.recipe import load_recipe

    registry = registry_with(plugin)
    teacher, student = registry.pair(pair)
    names = [registry.method(word).name for word in words(methods)]
    chosen = resolve_device(device)
    data, notes = dataset_or_noise(registry.dataset(dataset), data_dir)
    setting = Setting(
        registry,
        data,
        teacher,
        student,
        load_recipe(recipe, {"precision": precision}),
        chosen,
    )
    sizes = members or ([len(names)] if chosen.type == "cpu" else list(MEMBERS))
    with StopSignal() as stop:
        result = run_training(
            setting,
            names,
            members=sizes,
            precision=setting.recipe.precision,
            rounds=steps,
            lanes=lanes,
            notes=notes,
            progress=lambda line: typer.echo(line, err=True),
            stop_requested=stop.requested,
        )
    if chosen.type == "cpu":
        typer.echo(f"{torch.get_num_threads()} threads", err=True)
    tell(to_json(result, chosen) if as_json else render(result))
    if stop.requested():
        raise typer.Exit(stop.exit_code)


@app.command("loader")
def loader(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", parser=paths.folder, metavar="DIR", help="Images by class, such as ImageNet's train; else made."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Images of a batch.")] = 64,
    readers: Annotated[int, typer.Option(min=0, help="Processes that read, of each way; 0: none.")] = 2,
    images: Annotated[int, typer.Option(min=4, help="How many photographs are made, without --folder.")] = 1024,
    members: Annotated[list[int] | None, typer.Option(min=1, help="Size of a cohort. May be repeated.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 5,
    device: options.DeviceOption = "auto",
    as_json: options.JsonOption = False,
) -> None:
    """Images decoded a second and students an hour, beside torchvision's ImageFolder with a loader for each run.

    Ctrl-C or SIGTERM ends it after the present round; what has been measured is printed.
    """
    from kdbench.bench.loader import run_loader
    from kdbench.bench.loader_report import render, to_json
    from kdbench.environment.device import resolve_device
    from kdbench.execution.interrupt import StopSignal
    from kdbench.execution.quiet import quiet_libraries

    chosen = resolve_device(device)
    with StopSignal() as stop, quiet_libraries():
        result = run_loader(
            folder,
            chosen,
            members=[1, *(count for count in members or LOADER_MEMBERS if count > 1)],
            readers=readers,
            images=images,
            batch_size=batch_size,
            rounds=rounds,
            progress=lambda line: typer.echo(line, err=True),
            stop_requested=stop.requested,
        )
    tell(to_json(result, chosen) if as_json else render(result))
    if stop.requested():
        raise typer.Exit(stop.exit_code)


@app.command("kernels")
def kernels(
    device: options.DeviceOption = "auto",
    sizes: Annotated[
        str,
        typer.Option(help="Only these, comma-separated: paper, medium, beyond (the caches), large; else what suits."),
    ] = "",
    implementations: Annotated[
        str, typer.Option(help="Only these, comma-separated: reference, compiled, analytic, inductor, triton.")
    ] = "",
    as_json: options.JsonOption = False,
    save: Annotated[
        Path | None,
        typer.Option(
            parser=paths.new_file, metavar="FILE", help="Also write the result as JSON there, for `--compare`."
        ),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(parser=paths.file, metavar="FILE", help="A saved result to compare with.")
    ] = None,
    bound: Annotated[
        float, typer.Option(min=1, help="With --compare: exit 1 where a median is this many times the saved one.")
    ] = BOUND,
) -> None:
    """Time every implementation of every loss operator, forward, backward and both, in turns within one process.

    Ctrl-C or SIGTERM ends it after the present operator and size; what has been measured is printed and saved.
    """
    import json

    from kdbench.bench import report as kernel_report
    from kdbench.bench.cases import IMPLEMENTATIONS, SIZES
    from kdbench.bench.kernels import run_kernels
    from kdbench.environment.device import resolve_device
    from kdbench.execution.interrupt import StopSignal
    from kdbench.store.files import write_atomically

    chosen = resolve_device(device)
    cases = [case for name in _known("size", sizes, SIZES) for case in SIZES[name]] or None
    before = kernel_report.load(compare) if compare else None
    if save and save.exists():
        raise UserError(f"{save} already exists and is not overwritten; remove it or choose another name.")
    with StopSignal() as stop:
        result = run_kernels(
            chosen,
            cases,
            implementations=_known("implementation", implementations, IMPLEMENTATIONS) or IMPLEMENTATIONS,
            progress=lambda line: typer.echo(line, err=True),
            stop_requested=stop.requested,
        )
    saved = kernel_report.to_json(result, chosen)
    tell(saved if as_json else kernel_report.render(result))
    if save:
        write_atomically(save, saved.encode())
    if stop.requested():
        raise typer.Exit(stop.exit_code)
    slower = kernel_report.compare(before, json.loads(saved), bound) if before else []
    for regression in slower:
        typer.echo(f"slower: {regression}", err=True)
    if slower:
        raise typer.Exit(1)


def _known(what: str, text: str, known: Iterable[str]) -> tuple[str, ...]:
    """The words of an option, each one of `known`. Raises `UserError` for another."""
    from kdbench.cli.values import words

    for word in words(text):
        if word not in known:
            raise unknown(what, word, known)
    return words(text)
