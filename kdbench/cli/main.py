"""The `kdbench` command."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

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
from kdbench.inputs.errors import UserError


class _Commands(TyperGroup):
    """Says that a command was cut off, of which Typer makes an exit code without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("kdbench: stopped at once; what is finished is kept.", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="kdbench",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Panels take twice as long to draw as all else that help does, and fall apart on a narrow terminal.
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from kdbench.environment.versions import versions

        print(f"kdbench {versions()['kdbench']}")
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


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit code 2."""
    with terminal.filtered():
        try:
            app()
        except UserError as error:
            typer.echo(f"kdbench: {error}", err=True)
            sys.exit(2)


if __name__ == "__main__":
    main()
