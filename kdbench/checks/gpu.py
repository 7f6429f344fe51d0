"""A step's forward pass on a GPU that need not be there: its tensors have a device and a shape, and no values."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, UnsupportedOperatorException

from kdbench.checks.bench import CPU, Bench
from kdbench.checks.case import Case
from kdbench.checks.findings import Exempt, Fault
from kdbench.checks.trainee import Trainee
from kdbench.data.delivery import test_images, training_images
from kdbench.data.reading import Loaders
from kdbench.inputs.places import describe, homes
from kdbench.recipe import Precision
from kdbench.training.diagnosis import diagnose, probe
from kdbench.training.evaluation import tally
from kdbench.training.member import teacher_outputs

GPU = torch.device("cuda", 0)


def gpu(case: Case) -> None:
    """On a GPU a step and an evaluation use nothing that is left on the CPU, and read no value."""
    if case.bench.device != CPU:
        raise Exempt("not applicable", "every check is made on a GPU")
    try:
        forward_on_gpu(case)
    except UnsupportedOperatorException as error:
        raise Exempt("not applicable", f"PyTorch knows {error.func} by its values alone") from error
    except Exception as error:
        raise Fault(
            f"on a GPU: {describe(error, homes(case.judged))}",
            "make constants in `setup` and register them (`register_buffer`), or where they are used with `device=` of "
            "what they meet",
        ) from error


def forward_on_gpu(case: Case, precision: Precision = "fp32", *, diagnosing: bool = False) -> dict[str, Tensor]:
    """The loss terms of a whole batch, without values, after an evaluation and a short batch.

    All that a method has is built on the CPU and moved, as training does. Raises what PyTorch raises where tensors of
    two devices meet or a value is read.
    """
    pre_stage = copy.deepcopy(case.pre_stage.trained) if case.pre_stage else None
    trainee = Trainee(case.bench, case.run_of(case.method, case.pair, precision), pre_stage)
    member, teacher = trainee.member, trainee.teacher
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    whole = [member.network, member.method, teacher and teacher.network, pre_stage]
    _move([module for module in whole if module], mode)
    there = Bench(case.bench.registry, GPU)
    dtype = member.run.recipe.autocast
    terms: dict[str, Tensor] = {}
    with mode:
        if not member.frozen:
            batches = test_images(there.dataset, member.run.recipe.augmentation, GPU, Loaders())
            tally(member.deployed, batches, dtype, GPU)
        if diagnosing:
            positions = probe(there.dataset)
            part = training_images(there.dataset, member.run.recipe.augmentation, positions)
            diagnose(member, teacher, there.dataset, part, positions, GPU)
        for step in (0,) if member.needs.full_batches else (1, 0):
            images, batch = there.batch(epoch=1, step=step)
            targets = teacher_outputs(teacher, images, dtype) if teacher else None
            total, terms = member.loss(images, targets, batch)
            if left := [name for name, value in {**terms, "total": total}.items() if value.device != GPU]:
                raise ValueError(f"term '{left[0]}' is on the CPU")
    return terms


def _move(modules: Iterable[nn.Module], mode: FakeTensorMode) -> None:
    """Move modules as `.to` does, whatever hides in them; shared tensors stay shared, and values do not come along."""
    # The old ones are kept until all are replaced, for the number of one that is gone may be another's.
    moved: dict[int, tuple[Tensor, Tensor]] = {}

    def there(tensor: Tensor) -> Tensor:
        if id(tensor) not in moved:
            with mode:
                twin = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)
            moved[id(tensor)] = tensor, twin
        return moved[id(tensor)][1]

    for module in modules:
        if not any(isinstance(parameter, FakeTensor) for parameter in module.parameters()):
            module._apply(there)  # type: ignore[no-untyped-call]
