"""Small networks and batches that tests share."""

import torch
from torch import Tensor

from kdbench.execution.staleness import Present
from kdbench.method import Batch, Build, Method
from kdbench.model import FEATURES, Architecture, Outputs
from kdbench.plugins import load_plugins
from kdbench.run import Run
from kdbench.store.records import Basis
from tests.networks import tiny_architecture

TEACHER = tiny_architecture("tiny_teacher", (6, 8, 10), (1, 2, 2))
#: Other widths, one stage more and another spatial size at the end than TEACHER.
STUDENT = tiny_architecture("tiny_student", (4, 5, 6, 7), (2, 1, 2, 2))


def build_method(
    method: type[Method],
    student: Architecture = STUDENT,
    teacher: Architecture | None = TEACHER,
    *,
    num_classes: int = 5,
    input_size: int = 8,
    train_size: int = 40,
    batch_size: int = 6,
    epochs: int = 10,
    seed: int = 0,
    **params: object,
) -> Method:
    """`method` on tiny networks, in float64 and train mode; its pre-stage, if any, untrained."""
    torch.manual_seed(seed)
    values = method.Params(**params)
    shapes = teacher.shapes(num_classes, input_size) if teacher else None
    network = teacher.build(num_classes).double().eval().requires_grad_(False) if teacher else None
    labels = torch.arange(train_size) % num_classes
    pre_stage = None
    if (stage := method.pre_stage(values)) and teacher and shapes and network:
        pre_stage = (
            stage[0](stage[1], Build(network, shapes, labels, batch_size, epochs=epochs))
            .double()
            .eval()
            .requires_grad_(False)
        )
    build = Build(
        student.build(num_classes),
        student.shapes(num_classes, input_size),
        labels,
        batch_size,
        network,
        shapes,
        pre_stage,
        epochs=epochs,
    )
    return method(values, build).double()


def random_outputs(
    architecture: Architecture, *, batch: int = 6, num_classes: int = 5, input_size: int = 8, seed: int = 0
) -> Outputs:
    """Random float64 features of the sizes that `architecture` gives; leaves that require a gradient."""
    shapes = architecture.shapes(num_classes, input_size)
    generator = torch.Generator().manual_seed(seed)

    def leaf(*size: int) -> Tensor:
        return torch.randn(batch, *size, generator=generator, dtype=torch.float64).requires_grad_()

    return Outputs(
        logits=leaf(num_classes),
        stages=tuple(leaf(*stage) for stage in shapes.stages),
        final_map=leaf(*shapes.final_map),
        embedding=leaf(shapes.embedding),
        class_maps=leaf(num_classes, *shapes.final_map[1:]),
        preactivations=tuple(leaf(*stage) for stage in shapes.stages),
        stem=leaf(*shapes.stem),
    )


def random_batch(*, batch: int = 6, num_classes: int = 5, train_size: int = 40, epoch: int = 1, seed: int = 0) -> Batch:
    """Labels, indices, epoch and generator for `batch` samples of a training set labelled 0, 1, …, K-1, 0, 1, …"""
    index = torch.randperm(train_size, generator=torch.Generator().manual_seed(seed))[:batch]
    return Batch(
        index % num_classes,
        index=index,
        epoch=torch.tensor(float(epoch)),
        generator=torch.Generator().manual_seed(seed + 1),
    )


def present_basis(run: Run, data_sha256: str | None = None, teacher_sha256: str | None = None) -> Basis:
    """What a made-up record must rest on to be taken for a result of the installed code on the data of its name."""
    registry = load_plugins()
    known = registry.dataset(run.dataset).info(None).checksum if run.dataset in registry.usable("dataset") else None
    return Present(registry).basis(run, data_sha256 or known or "d" * 64, teacher_sha256, None)


def declared(method: Method, student: Outputs, teacher: Outputs, batch: Batch) -> tuple[Outputs, Outputs, Batch]:
    """What the harness would hand over: only what the method's needs declare, the teacher without a graph."""
    needs = method.needs_for(method.params)
    return (
        student.only(needs.student, "student"),
        teacher.only(needs.teacher, "teacher").detach(),
        batch.only(needs.batch),
    )


__all__ = [
    "FEATURES",
    "STUDENT",
    "TEACHER",
    "build_method",
    "declared",
    "present_basis",
    "random_batch",
    "random_outputs",
    "tiny_architecture",
]
