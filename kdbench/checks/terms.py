"""Checks of the loss terms and of the gradients that they give."""

from __future__ import annotations

from kdbench.checks.case import Case
from kdbench.checks.findings import Fault
from kdbench.formula import term_texts
from kdbench.inputs.errors import UserError
from kdbench.inputs.places import describe, homes


def terms(case: Case) -> None:
    """Terms have the names of `weights`, a text each in `formula`, and are finite scalars."""
    named = case.judged.weights(case.params)
    try:
        texts = term_texts(case.judged, case.params)
    except UserError as error:
        raise Fault(f"{error}", "give every term of `weights` a text") from None
    if untold := [name for name in named if name not in texts]:
        raise Fault(f"`formula` has no text for {untold}", "describe each term, so that `kdbench show` can print it")
    for name, value in case.first.terms.items():
        if not value.isfinite():
            raise Fault(f"term '{name}' is {value.item()} in the first step", "look for log(0), 0/0 and overflow")


def batch(case: Case) -> None:
    """A step works on a short last batch."""
    try:
        seen = case.second
    except Exception as error:
        reason = error.reason if isinstance(error, Fault) else describe(error, homes(case.judged))
        raise Fault(f"in a short last batch: {reason}", "take the batch's size from `batch.labels`") from error
    if bad := [name for name, value in seen.terms.items() if not value.isfinite()]:
        raise Fault(f"terms {bad} are not finite in a short last batch", "count the samples that are there")


def gradients(case: Case) -> None:
    """The method's parameters get gradients and are trained; so is the student's trunk, up to its last stage."""
    first, second = case.first, case.second
    if added := first.added + second.added:
        raise Fault(f"parameters {added} appear during a step, so no optimizer knows them", "make modules in `setup`")
    later = {trained.name: trained for trained in second.modules}
    for trained in first.modules:
        seen = (trained, later[trained.name])
        if not any(step.got_gradient for step in seen):
            raise Fault(
                f"parameter '{trained.name}' gets no gradient",
                "use it in a term, drop it, or freeze it in `setup` with requires_grad_(False)",
            )
        if not any(step.nonzero for step in seen):
            raise Fault(
                f"the gradient of parameter '{trained.name}' is 0 in two steps", "see whether its effect is cut off"
            )
        # In the first step with a gradient, since momentum may cancel a later one.
        if not next(step for step in seen if step.got_gradient).moved:
            raise Fault(f"parameter '{trained.name}' has a gradient but does not change", "do not overwrite it")
    frozen = case.is_pre_stage
    if dead := [part for part, alive in first.trunk.items() if alive == frozen]:
        reason = "although a pre-stage's network is frozen" if frozen else "so the student's is not trained there"
        what = "a gradient reaches" if frozen else "no gradient reaches"
        raise Fault(f"{what} {', '.join(dead)}, {reason}", "see where the graph of the student's features is cut")
