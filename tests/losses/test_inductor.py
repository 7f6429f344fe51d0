"""The analytic forms through `torch.compile`: the numbers, and what is refused rather than left to eager mode."""

import pytest
import torch
from torch._inductor import config as inductor_config

from kdbench.inputs.errors import UserError
from kdbench.losses import fused, kd
from kdbench.losses.fused import FusedLoss
from tests.losses.support import OPERATORS, arguments, assert_agrees, implementation, leaves, loss_of, scratch, weighted

RELEASE = tuple(int(number) for number in torch.__version__.split(".")[:2])


@pytest.mark.parametrize("operator", OPERATORS)
def test_values_gradients_and_no_temporary_of_a_gradients_size(operator):
    args = arguments(operator, 64, 100)
    assert_agrees("inductor", operator, args)
    # PyTorch 2.11 keeps ce_kd's logarithms where it compiles for one shape alone.
    allowed = 1.5 if operator == "ce_kd" and RELEASE < (2, 12) else 0.5
    assert scratch("inductor", args, operator) < allowed * leaves(args)[0].nbytes


def test_another_batch():
    for batch in (64, 41, 20):
        assert_agrees("inductor", "kd", arguments("kd", batch, 100))


def test_half_maps_and_a_gradient_through_the_weights():
    args = arguments("deep_mse", 20, 33, dtype=torch.bfloat16)
    assert_agrees("inductor", "deep_mse", args, detach=False)


def test_a_second_backward_pass_leaves_the_first_ones_gradients_alone():
    args = arguments("deep_mse", 64, 100)
    total = weighted(implementation("inductor", "deep_mse")(*args))
    first = torch.autograd.grad(total, leaves(args), retain_graph=True)
    copies = [x.clone() for x in first]
    torch.testing.assert_close(list(torch.autograd.grad(total, leaves(args))), copies)
    torch.testing.assert_close(list(first), copies)


def test_the_variable_names_it(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "inductor")
    compiled = []
    monkeypatch.setattr("kdbench.losses.fused._compile", lambda name, passed: compiled.append(name) or passed)
    monkeypatch.setattr("kdbench.losses.analytic.kd", _unregistered())
    student, teacher = arguments("kd", 3, 4)
    kd(student, teacher).backward()
    assert student.grad is not None and compiled == ["analytic_kd"] * 2


@pytest.mark.parametrize(("capability", "bits"), [("AVX512", 512), ("AVX2", 256), ("DEFAULT", 0), ("SVE256", None)])
def test_what_is_compiled_is_for_this_cpus_vectors(monkeypatch, capability, bits):
    asked = []
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    monkeypatch.setattr("torch.compile", lambda function, **options: asked.append(options["options"]))
    fused._compile("any", abs)
    assert [options["cpp.simdlen"] for options in asked] == [bits]


def test_inside_a_callers_compile_it_is_refused(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "inductor")
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    with pytest.raises(UserError, match="inductor cannot compute this loss: this call is compiled already"):
        kd(*arguments("kd", 3, 4))


def test_without_a_compiler_it_is_an_error(monkeypatch):
    monkeypatch.setattr("kdbench.losses.analytic.kd", _unregistered())
    missing = inductor_config.patch({"cpp.cxx": (None, "/no/such/compiler")})
    with (
        missing,
        pytest.raises(UserError, match=r"cannot make analytic_kd: .*compiler.*unset KDBENCH_LOSS_BACKEND") as caught,
    ):
        implementation("inductor", "kd")(*arguments("kd", 7, 11))
    assert "\n" not in str(caught.value)


def _unregistered():
    """`kd`'s loss with nothing compiled yet, and without registering its operator once more."""
    fresh = object.__new__(FusedLoss)
    fresh.__dict__.update({k: v for k, v in vars(loss_of("analytic", "kd")).items() if not k.startswith("_")})
    return fresh
