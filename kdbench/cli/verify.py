"""`kdbench verify METHOD…`: the conformance suite."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from kdbench.cli.completion import names
from kdbench.cli.options import DeviceOption, JsonOption, PairsOption, PluginOption
from kdbench.cli.terminal import screen_width, tell, wanted_width
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.checks.findings import Finding


def verify(
    methods: Annotated[
        list[str] | None,
        typer.Argument(autocompletion=names("method"), help="Methods; without any, all that are installed."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that are installed, as without a name.")] = False,
    plugin: PluginOption = None,
    pairs: PairsOption = "",
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Judge methods by the conformance suite, on the pairs of the paper's grid at small sizes.

    Exit code 1 if a check fails.
    """
    from kdbench.checks.suite import Conformance, paper_pairs
    from kdbench.checks.text import text
    from kdbench.cli.values import registry_with, words
    from kdbench.environment.device import resolve_device

    if methods and all_:
        raise UserError("--all judges all methods, so it takes no names; leave out one of them.")
    registry = registry_with(plugin)
    names = [registry.method(name).name for name in methods or registry.usable("method")]
    chosen = paper_pairs(registry, words(pairs))
    suite = Conformance(registry, chosen, resolve_device(device))
    findings: list[Finding] = []
    for name in dict.fromkeys(names):
        began = time.perf_counter()
        found = suite.verify(name)
        failed = len({finding.check for finding in found if finding.status == "failed"})
        typer.echo(f"{name}: {f'{failed} failed' if failed else 'ok'}, {time.perf_counter() - began:.1f} s", err=True)
        findings += found
    if as_json:
        tell(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
    else:
        tell(text(findings, screen_width() or wanted_width() or 100))
    if any(finding.status == "failed" for finding in findings):
        raise typer.Exit(1)
