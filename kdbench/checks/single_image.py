"""Check of the smallest batch: what data leave for an epoch's last one."""

from __future__ import annotations

from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault
from kdbench.inputs.places import describe, homes

#: What batch norm says of one value a channel.
NO_STATISTICS = "more than 1 value per channel"


def single_image(case: Case) -> None:
    """A step with a single image is finite; where batch norm cannot have one, kdbench refuses data that leave one."""
    trainee = case.trainee()
    advice = "a mean over no pair is not a number: give the term a value there, or declare `Needs(full_batches=True)`"
    try:
        trainee.step(epoch=1, step=0, most=1)
    except ValueError as error:
        if NO_STATISTICS not in str(error):
            raise
        raise Exempt(
            "not applicable", "batch norm has no statistics of one image; data that leave one are refused"
        ) from None
    except Exception as error:
        raise Fault(f"a step with a single image fails: {describe(error, homes(case.judged))}", advice) from error
    if fault := trainee.member.fault():
        raise Fault(f"after a step with a single image, {fault}", advice)
