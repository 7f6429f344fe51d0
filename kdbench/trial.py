"""Whether a method gets along with what the networks of a pair offer: found before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from kdbench.inputs.places import asking, exits_refused
from kdbench.meta import without_data
from kdbench.method import Batch, Build, Method, MethodParams
from kdbench.model import Architecture, Feature, NotOfferedError, Outputs, Shapes, StagedModel

#: Images of a trial's batch.
BATCH = 2


@dataclass(frozen=True)
class Side:
    """A network of a pair, and its feature sizes for square images of `input_size` pixels."""

    architecture: Architecture
    shapes: Shapes
    input_size: int


def why_declined(method: type[Method], params: MethodParams, student: Side, teacher: Side | None) -> str | None:
    """The sentence with which a method declines a pair; None if it does not.

    It is the harness's where a network has not what `needs` names, the method's own (`decline`), or what a network says
    when it is asked for something that it has not.
    """
    with asking(method, "needs_for"):
        needs = method.needs_for(params)
    if sentence := _lacking(needs.student, "student", student):
        return sentence
    if teacher and (sentence := _lacking(needs.teacher, "teacher", teacher)):
        return sentence
    with asking(method, "decline"):
        declined = method.decline(params, student.shapes, teacher.shapes if teacher else None)
    if declined or all(side.shapes.whole for side in (student, teacher) if side):
        return declined
    return _tried(method, params, student, teacher)


def _lacking(needed: Iterable[Feature], owner: str, side: Side) -> str | None:
    """That a network has not what is needed of it, or None."""
    absent = [feature for feature in needed if feature in side.shapes.absent]
    return f"it reads {', '.join(absent)} of the {owner}, which {side.architecture.name} has not" if absent else None


def _tried(method: type[Method], params: MethodParams, student: Side, teacher: Side | None) -> str | None:
    """What a network says that is asked for more than it has, while the method is built without data, makes a step and
    is deployed.

    Whatever else goes wrong in such a trial says nothing of training, for which there are data.
    """
    if (method.__init__, method.setup, method.deploy) == (Method.__init__, Method.setup, Method.deploy):
        return None  # It is handed no network, and `needs` has all that it reads.
    # On the CPU, as a run's are: methods count them.
    labels = torch.arange(BATCH * student.shapes.num_classes) % student.shapes.num_classes
    try:
        with exits_refused(), without_data():
            network, taught_by = _network(student), _network(teacher).eval() if teacher else None
            pre_stage = None
            if teacher and taught_by and (found := method.pre_stage(params)):
                # What is trained on the teacher before sees it as its student.
                pre_stage = found[0](found[1], _build(taught_by, teacher, labels, taught_by, teacher, None))
            made = method(params, _build(network, student, labels, taught_by, teacher, pre_stage))
            # Deployed first, for a step is likelier to need numbers.
            made.deploy(network)
            _step(made, params, network, student, taught_by)
    except NotOfferedError as refusal:
        return str(refusal)
    except Exception:
        return None
    return None


def _network(side: Side) -> StagedModel:
    return side.architecture.build(side.shapes.num_classes)


def _build(
    network: StagedModel,
    side: Side,
    labels: torch.Tensor,
    taught_by: StagedModel | None,
    teacher: Side | None,
    pre_stage: Method | None,
) -> Build:
    shapes = teacher.shapes if teacher else None
    return Build(network, side.shapes, labels, BATCH, taught_by, shapes, pre_stage, epochs=1)


def _step(
    method: Method, params: MethodParams, network: StagedModel, student: Side, taught_by: StagedModel | None
) -> None:
    needs, images = type(method).needs_for(params), torch.empty(BATCH, 3, student.input_size, student.input_size)
    ours = network.outputs(images, needs.student).only(needs.student, "student")
    theirs = taught_by.outputs(images, needs.teacher).only(needs.teacher, "teacher") if taught_by else Outputs()
    zeros = torch.zeros(BATCH, dtype=torch.int64)
    batch = Batch(zeros, index=zeros, epoch=torch.ones(()), generator=torch.Generator("cpu"))
    method.terms(ours, theirs, batch.only(needs.batch))
