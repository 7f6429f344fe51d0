"""The `kdbench` command with its commands."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast

import typer

from kdbench.cli import (
    baseline,
    bench,
    check,
    compare,
    diagnose,
    doctor,
    figures,
    listing,
    new_method,
    report,
    results,
    run,
    show,
    stats,
    table,
    teachers,
    terminal,
    verify,
)
from kdbench.cli.main import INTERRUPTED, LAST_WORDS
from kdbench.execution.quiet import quiet_libraries
from kdbench.inputs.errors import UserError
from kdbench.inputs.streams import Filter, aside, filtered

#: Columns below which help has to be told how narrow the terminal is.
NARROW = 52
#: Columns that options have on such a terminal; on others it is 30.
OPTIONS = 6

app = typer.Typer(
    name="kdbench",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Panels take twice as long to draw as all else that help does, and fall apart on a narrow terminal.
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from kdbench.environment.versions import versions

        typer.echo(f"kdbench {versions()['kdbench']}")
        raise typer.Exit


@app.callback()
def _kdbench(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmark harness for knowledge distillation: every method a plugin, every table a command."""


app.command("run")(run.run)
app.command("table")(table.table)
app.command("show")(show.show)
app.command("verify")(verify.verify)
app.command("new-method")(new_method.new_method)
app.command("doctor")(doctor.doctor)
app.command("stats")(stats.stats)
app.command("report")(report.report)
app.command("figures")(figures.figures)
app.command("diagnose")(diagnose.diagnose)
app.command("check")(check.check)
app.command("compare")(compare.compare)
app.add_typer(baseline.app, name="baseline")
app.add_typer(bench.app, name="bench")
app.add_typer(listing.app, name="list")
app.add_typer(results.app, name="results")
app.add_typer(teachers.app, name="teachers")


def run_command() -> int:
    """Run the command line and give its exit code; a user's mistake is one sentence on standard error and code 2.

    So is standard output that cannot be written. What works behind it works on to its end, and so it does where nobody
    reads any more, which is no mistake: training is not lost to a log that is full or a pager that is left.
    """
    terminal.separate_output()
    with filtered() as out, quiet_libraries():
        width = terminal.screen_width()
        if width and width < NARROW:
            with _options_above_their_texts():
                # Else help is as wide as that.
                code = _exit_code(functools.partial(_command(), terminal_width=width - 2))
        else:
            code = _exit_code(_command())
        if why := out.lost():
            typer.echo(f"kdbench: standard output cannot be written ({why}); all else is done.", err=True)
            code = code or 2
    return code


@contextmanager
def _options_above_their_texts() -> Iterator[None]:
    """Inside the context, help gives options a narrow column, and those that are wider a line to themselves."""
    formatter = typer.Context.formatter_class
    beside = formatter.write_dl
    formatter.write_dl = functools.partialmethod(beside, col_max=OPTIONS)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        formatter.write_dl = beside  # type: ignore[method-assign]


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return int(end.code or 0)
    except UserError as error:
        typer.echo(f"kdbench: {error}", err=True)
        return 2
    return 0


@functools.cache
def _command() -> Any:
    """What the commands' declarations come to, which takes longer than many a command."""
    command = typer.main.get_command(app)
    _apart(command)
    return command


def _apart(command: Any) -> None:
    """Let no print of foreign code come between what the commands tell."""
    for inner in getattr(command, "commands", {}).values():
        _apart(inner)
    callback = command.callback

    def apart(**values: Any) -> None:
        try:
            with aside(cast(Filter, sys.stdout)):
                callback(**values)
        except KeyboardInterrupt:
            typer.echo(LAST_WORDS, err=True, nl=False)
            raise typer.Exit(INTERRUPTED) from None

    if not hasattr(command, "commands"):
        command.callback = apart
