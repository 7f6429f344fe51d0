"""Checks of what a method declares."""

from __future__ import annotations

from dataclasses import replace

from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault
from kdbench.inputs.places import describe, homes


def decline(case: Case) -> None:
    """`decline` gives None or a sentence, and never raises: on the pair, and where either network has one stage."""
    student, teacher = case.shapes
    shallow = replace(student, stages=student.stages[-1:])
    for what, ours, theirs in (
        ("on the pair", student, teacher),
        ("for a student of one stage", shallow, teacher),
        ("for a teacher of one stage", student, teacher and replace(teacher, stages=teacher.stages[-1:])),
    ):
        try:
            said = case.judged.decline(case.params, ours, theirs)
        except Exception as error:
            raise Fault(
                f"`decline` raises {what}: {describe(error, homes(case.judged))}",
                "give a sentence for shapes that are out of reach, such as too few stages; it is asked before training",
            ) from error
        if said is not None and not (isinstance(said, str) and said.strip()):
            raise Fault(f"`decline` gives {said!r} {what}", "give None, or a sentence that says why")


def teacher_free(case: Case) -> None:
    """A method that declares no teacher is given none, and works."""
    if case.needs.teacher:
        raise Exempt("not applicable", "the method declares a teacher")
    if case.judged.pre_stage(case.params) is not None:
        raise Fault(
            "it declares a pre-stage but no teacher to train it on",
            "declare in `needs.teacher` what it reads, or drop it",
        )


def needs(case: Case) -> None:
    """What is declared in `needs` is what is read: no more, no less."""
    for owner, read in case.first.reads.items():
        if idle := [field for field in getattr(case.needs, owner) if field not in read]:
            raise Fault(
                f"`needs.{owner}` declares {', '.join(idle)}, which a step never reads",
                "take it out, so that it need not be computed; where a parameter decides, override `needs_for`",
            )
