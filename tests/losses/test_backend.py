"""Which implementation is chosen, and what is refused."""

import pytest
import torch

from kdbench.inputs.errors import UserError
from kdbench.losses import backend, deep_kd, kd
from kdbench.losses.backend import choose
from tests.losses.support import DEVICES, arguments


@pytest.fixture(autouse=True)
def _auto(monkeypatch):
    monkeypatch.delenv("KDBENCH_LOSS_BACKEND", raising=False)


def _names(loss):
    return type(loss.grad_fn).__name__


def test_auto_on_a_cpu_is_analytic():
    student, teacher = arguments("kd", 3, 4)
    assert choose([student], [teacher]) == "analytic"
    assert _names(kd(student, teacher)) == "_EagerBackward"


@pytest.mark.parametrize(("named", "registered"), [("auto", False), ("analytic", True)])
def test_inside_compile_on_a_cpu_the_compiler_sees_the_formula(monkeypatch, named, registered):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", named)
    student, teacher = arguments("kd", 3, 4)
    called = []

    def note(graph, inputs):
        called.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    got = torch.compile(kd, backend=note, fullgraph=True)(student, teacher)
    torch.testing.assert_close(got, kd(student, teacher))
    assert any("kdbench" in name for name in called) is registered


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_auto_on_cuda_is_triton_where_its_kernels_can(device):
    student, teacher = arguments("kd", 3, 4, device=device)
    assert choose([student], [teacher]) == "triton"
    assert choose([student.double()], [teacher.double()]) == "analytic"
    assert choose([student], [teacher], outside_triton="no kernel") == "analytic"


def test_a_gradient_of_the_teacher_is_the_references(monkeypatch):
    student, teacher = arguments("kd", 3, 4)
    teacher.requires_grad_()
    assert choose([student], [teacher]) == "reference"
    kd(student, teacher).backward()
    assert teacher.grad is not None
    with torch.no_grad():
        assert choose([student], [teacher]) == "analytic"
    for name in ("analytic", "inductor", "triton"):
        monkeypatch.setenv("KDBENCH_LOSS_BACKEND", name)
        with pytest.raises(UserError, match="teacher's side requires a gradient"):
            kd(student, teacher)


def test_the_variable_names_the_reference(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "reference")
    assert _names(kd(*arguments("kd", 3, 4))) == "MeanBackward0"


def test_the_variable_names_triton(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "triton")
    args = arguments("deep_kd", 3, 4, device=DEVICES["triton"])
    loss, _ = deep_kd(*args)
    assert loss.grad_fn.loss.name == "triton_deep_kd"


def test_an_unknown_name_is_refused(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "analytical")
    with pytest.raises(UserError, match="did you mean 'analytic'"):
        kd(*arguments("kd", 3, 4))


def test_a_call_names_one_before_the_variable_does(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "analytic")
    student, teacher = arguments("kd", 3, 4)
    assert _names(kd(student, teacher, backend="reference")) == "MeanBackward0"
    assert _names(kd(student, teacher)) == "_EagerBackward"
    with pytest.raises(UserError, match="unknown loss backend 'analytical'"):
        kd(student, teacher, backend="analytical")


@pytest.fixture
def triton_wanted(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return monkeypatch


def test_triton_needs_cuda_or_its_interpreter(triton_wanted):
    triton_wanted.delenv("TRITON_INTERPRET")
    with pytest.raises(UserError, match="needs CUDA tensors, not cpu"):
        kd(*arguments("kd", 3, 4))


def test_triton_must_be_installed(triton_wanted):
    triton_wanted.setattr(backend, "_TRITON_INSTALLED", False)
    with pytest.raises(UserError, match="not installed"):
        kd(*arguments("kd", 3, 4))


def test_triton_refuses_float64(triton_wanted):
    with pytest.raises(UserError, match="float32, float16 and bfloat16 only"):
        kd(*(x.detach().double() for x in arguments("kd", 3, 4)))


def test_triton_refuses_a_temperature_per_sample(triton_wanted):
    with pytest.raises(UserError, match="one temperature"):
        kd(*arguments("kd", 3, 4), torch.ones(3))


def test_triton_refuses_weights_of_the_batch(triton_wanted):
    with pytest.raises(UserError, match="per_sample=False"):
        deep_kd(*arguments("deep_kd", 3, 4), per_sample=False)


def test_triton_refuses_heads_of_different_types(triton_wanted):
    teacher, shallow, last = arguments("deep_kd", 3, 4)
    with pytest.raises(UserError, match="heads of one type"):
        deep_kd(teacher, shallow, last.detach().half())


def test_triton_refuses_many_heads(triton_wanted):
    with pytest.raises(UserError, match="at most 8 heads, not 9"):
        deep_kd(*arguments("deep_kd", 3, 4, heads=9))
