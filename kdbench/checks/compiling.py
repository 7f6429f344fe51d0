"""Check under `torch.compile`."""

from __future__ import annotations

from typing import cast

import torch

from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault
from kdbench.checks.trainee import Terms

#: Every backend is given the graph by the same tracer; this one runs it as it is, without minutes of code generation.
BACKEND = "eager"
TOLERANCE = 1e-4


def compiled(case: Case) -> None:
    """`terms` is captured as one graph by `torch.compile` and gives what it gives without."""
    if not case.judged.compiles:
        raise Exempt("opted out", "the method declares compiles = False")
    # No generator can be an input of a captured graph: a method that draws from it may break its graph there.
    whole = "generator" not in case.needs.batch
    torch.compiler.reset()
    trainee = case.trainee(wrap=lambda terms: cast(Terms, torch.compile(terms, backend=BACKEND, fullgraph=whole)))
    try:
        trainee.step(epoch=1, step=0)
    except Exception as error:
        raise Fault(
            f"`terms` is not captured: {_first_lines(error)}",
            "write it in tensor operations and plain Python; if it cannot be, declare `compiles = False`",
        ) from error
    finally:
        torch.compiler.reset()
    for name, value in case.first.terms.items():
        if not torch.isclose(value, trainee.terms[name], rtol=TOLERANCE, atol=TOLERANCE):
            raise Fault(
                f"term '{name}' is {trainee.terms[name].item():.6g} when compiled, {value.item():.6g} otherwise",
                "see what depends on how often or in which order Python runs",
            )


def _first_lines(error: Exception) -> str:
    """The tracer's own sentence and the user's line of code; its explanations run to pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    code = [line for line in lines if line.startswith("File ")][-1:]
    return "; ".join([type(error).__name__, *lines[:1], *code])
