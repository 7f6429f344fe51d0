"""What methods learn from and read, by which lists and pages group them: questions for `Registry.ask`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

from kdbench.inputs.errors import UserError
from kdbench.inputs.places import asking

if TYPE_CHECKING:
    from kdbench.registry import Registry

#: What a method learns from, and the teacher's features that it then reads at most; None: any others.
SUPERVISION: dict[str, set[str] | None] = {
    "labels alone": set(),
    "the teacher's logits": {"logits"},
    "the teacher's embedding": {"logits", "embedding"},
    "the teacher's maps": None,
}
#: Where a method's own code cannot tell.
UNKNOWN = "?"


class Reading(TypedDict):
    """A key of `SUPERVISION`, and the features that are read of either network."""

    supervision: str
    reads: list[str]


def reading(registry: Registry, name: str) -> Reading:
    """What a method learns from and reads at its defaults. Raises `UserError` if it cannot tell."""
    from kdbench.model import FEATURES

    method = registry.method(name)
    with asking(method, "needs_for"):
        needs = method.needs_for(method.Params())
    of_teacher = set(needs.teacher)
    supervision = next(kind for kind, features in SUPERVISION.items() if features is None or of_teacher <= features)
    return {"supervision": supervision, "reads": [f for f in FEATURES if f in (*needs.student, *needs.teacher)]}


def grouped(methods: Iterable[str], registry: Registry) -> dict[str, list[str]]:
    """Methods by what they learn from; groups in the order of `SUPERVISION`, and none that is empty."""
    groups: dict[str, list[str]] = {kind: [] for kind in (*SUPERVISION, UNKNOWN)}
    for name in methods:
        try:
            groups[registry.ask(reading, name)["supervision"]].append(name)
        except UserError:  # a list of methods says what is wrong
            groups[UNKNOWN].append(name)
    return {kind: names for kind, names in groups.items() if names}


def year(citation: str) -> int | None:
    """The year that a citation ends with, or that of its arXiv number; None where it has neither."""
    found = re.findall(r"\b(?:19|20)\d\d\b", citation) or [
        f"20{n}" for n in re.findall(r"arXiv (\d\d)\d\d\.", citation)
    ]
    return int(found[-1]) if found else None
