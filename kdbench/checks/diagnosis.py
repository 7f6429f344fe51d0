"""Check of what a method tells of single samples."""

from __future__ import annotations

from torch import Tensor

from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault
from kdbench.checks.randomness import drawn_from, global_seed, global_states
from kdbench.checks.trainee import Trainee, differing, in_words
from kdbench.data.delivery import training_images
from kdbench.inputs.places import describe, homes
from kdbench.method import Batch
from kdbench.model import Outputs
from kdbench.training.diagnosis import diagnose as diagnose_member
from kdbench.training.diagnosis import diagnoses, probe


def diagnose(case: Case) -> None:
    """`diagnose` gives finite values [B] by name; weights, gradients and global random numbers stay as they are."""
    if not diagnoses(case.judged):
        raise Exempt("not applicable", "the method does not override `diagnose`")
    trainee = case.trainee()
    trainee.step(epoch=1, step=0)  # so that there are gradients to be left alone
    state, gradients = trainee.fingerprint(), trainee.gradients()
    with global_seed("diagnose"):
        before = global_states()
        try:
            _ask(trainee)
        except Fault:
            raise
        except Exception as error:
            raise Fault(
                f"`diagnose` raises {describe(error, homes(case.judged))}",
                "it gets what `terms` gets, but for the batch's epoch and generator, in batches of any size",
            ) from error
        drawn = drawn_from(before)
    if drawn:
        raise Fault(f"`diagnose` draws from the global random numbers of {drawn[0]}", "compute it without chance")
    if changed := differing(state, trainee.fingerprint()):
        raise Fault(f"`diagnose` changes {changed}", "work on a copy: asking must not change what is trained")
    if changed := differing(gradients, trainee.gradients()):
        raise Fault(f"`diagnose` changes the gradient of {changed}", "compute without `backward` and `zero_grad`")


def _ask(trainee: Trainee) -> None:
    """Ask as training does after an epoch, and raise a fault for what it could not take."""
    method, bench = trainee.member.method, trainee.bench
    told = method.diagnose

    def judged(student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        values = told(student, teacher, batch)
        _refuse_malformed(values, len(batch.labels))
        return values

    vars(method)["diagnose"] = judged
    positions = probe(bench.dataset)
    part = training_images(bench.dataset, trainee.member.run.recipe.augmentation, positions)
    diagnose_member(trainee.member, trainee.teacher, bench.dataset, part, positions, bench.device)


def _refuse_malformed(values: object, size: int) -> None:
    advice = "give a dict from names to tensors [B], one finite floating-point value for each sample; {} for none"
    if not isinstance(values, dict):
        raise Fault(f"`diagnose` gives {in_words(values)}, not a dict", advice)
    for name, value in values.items():
        if not isinstance(name, str):
            raise Fault(f"`diagnose` names a value {name!r}, which is no text", advice)
        if not isinstance(value, Tensor) or value.shape != (size,):
            raise Fault(f"`diagnose` gives '{name}' as {in_words(value)} for a batch of {size}", advice)
        if not value.is_floating_point():
            raise Fault(f"`diagnose` gives '{name}' in {str(value.dtype).removeprefix('torch.')}", advice)
        if not value.isfinite().all():
            raise Fault(f"`diagnose` gives values of '{name}' that are not finite", "look for log(0), 0/0 and overflow")
