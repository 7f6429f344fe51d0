"""What a method's own tests may compute with: a built method, and what the harness handed it in a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdbench.checks.bench import Bench
from kdbench.checks.case import Case
from kdbench.checks.suite import paper_pairs
from kdbench.method import Batch, Method
from kdbench.model import Outputs
from kdbench.plugins import load_plugins


@dataclass(frozen=True)
class Example:
    """A method with its default parameters, and the features and the batch of 8 that it was given, without a graph."""

    method: Method
    student: Outputs
    teacher: Outputs
    batch: Batch


def make_example(method: str, pair: str | None = None, plugins: Sequence[Path] = ()) -> Example:
    """An example of a method by name, on a pair `teacher:student` or on the first of the paper's.

    `plugins` are plugin files of methods that are not installed. The same at every call.
    """
    registry = load_plugins(tuple(plugins))
    chosen = paper_pairs(registry, [pair] if pair else [])[0]
    trainee = Case(Bench(registry), registry.method(method), chosen, thorough=False).trainee()
    trainee.step(epoch=1, step=0)
    handed = trainee.handed
    built = trainee.released_method()
    return Example(built, handed.student.detach(), handed.teacher.detach(), handed.batch)
