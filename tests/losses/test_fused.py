"""How fused losses behave within autograd, as registered operators and under `torch.compile`."""

import pytest
import torch
from torch import Tensor

from kdbench.inputs.errors import UserError
from kdbench.losses import ce_kd, deep_kd, deep_mse, kd
from tests.losses.support import (
    DEVICES,
    FUSED,
    OPERATORS,
    arguments,
    call,
    implementation,
    leaves,
    loss_of,
    mapped,
    weighted,
)

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_opcheck(backend, operator):
    heads, constants, options = call(operator, 4, 5, device=DEVICES[backend])
    torch.library.opcheck(loss_of(backend, operator).operator, [heads, constants, *options])


def test_opcheck_of_kd_with_a_temperature_per_sample():
    heads, constants, _ = call("kd", 4, 5)
    inputs = [heads, [*constants, torch.tensor([1.0, 2.0, 3.0, 4.0])], None, True, False]
    torch.library.opcheck(loss_of("analytic", "kd").operator, inputs)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_the_operators_own_gradient_is_that_of_eager_mode(backend, operator):
    """What `torch.compile` differentiates, without the minutes of compiling every one."""
    heads, constants, options = call(operator, 4, 5, device=DEVICES[backend])
    loss = loss_of(backend, operator)
    expected = torch.autograd.grad(weighted(loss(heads, constants, *options)), heads)
    got = torch.autograd.grad(weighted(loss.operator(heads, constants, *options)[: loss.losses]), heads)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("per_sample", [True, False])
@pytest.mark.parametrize("operator", ["deep_kd", "deep_mse"])
def test_gradcheck_deep(operator, per_sample, detach):
    """Finite differences know no constants: detached weights are checked where they are equal, so constant."""
    teacher, shallow, last = mapped(arguments(operator, 3, 2), Tensor.double)
    options = {"adaptive": not detach, "detach": detach, "per_sample": per_sample}
    function = implementation("analytic", operator)
    assert torch.autograd.gradcheck(lambda a, b, c: function(teacher, [a, b], c, **options), (*shallow, last))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck_kd(reduction):
    student, teacher = mapped(arguments("kd", 3, 4), Tensor.double)
    tau = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    function = implementation("analytic", "kd")
    assert torch.autograd.gradcheck(lambda x: function(x, teacher, 3.0, reduction=reduction), student)
    assert torch.autograd.gradcheck(lambda x: function(x, teacher, tau, reduction=reduction), student)


def test_gradcheck_ce_kd():
    student, teacher, labels = mapped(arguments("ce_kd", 3, 4), Tensor.double)
    assert torch.autograd.gradcheck(lambda x: implementation("analytic", "ce_kd")(x, teacher, labels), student)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_double_use_in_one_graph(backend, operator):
    args = arguments(operator, 4, 5, device=DEVICES[backend])
    function = implementation(backend, operator)
    once = torch.autograd.grad(weighted(function(*args)), leaves(args))
    twice = torch.autograd.grad(weighted(function(*args)) + 2 * weighted(function(*args)), leaves(args))
    torch.testing.assert_close(twice, tuple(3 * x for x in once))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_a_second_backward_pass_leaves_the_first_ones_gradients_alone(backend, operator):
    args = arguments(operator, 4, 5, device=DEVICES[backend])
    total = weighted(implementation(backend, operator)(*args))
    first = torch.autograd.grad(total, leaves(args), retain_graph=True)
    copies = [x.clone() for x in first]
    second = torch.autograd.grad(total, leaves(args))
    torch.testing.assert_close(list(second), copies)
    torch.testing.assert_close(list(first), copies)


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("operator", ["ce_kd", "deep_kd", "deep_mse"])
@pytest.mark.parametrize("backend", FUSED)
def test_one_output_alone(backend, operator, used):
    args = arguments(operator, 4, 5, device=DEVICES[backend])
    got, expected = (
        torch.autograd.grad(3 * implementation(b, operator)(*args)[used], leaves(args), allow_unused=True)
        for b in (backend, "reference")
    )
    for ours, theirs in zip(got, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backend", FUSED)
def test_an_upstream_gradient_of_one(backend):
    args = arguments("ce_kd", 4, 5, device=DEVICES[backend])
    got, expected = (
        torch.autograd.grad(sum(implementation(b, "ce_kd")(*args)), leaves(args)) for b in (backend, "reference")
    )
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("backend", FUSED)
def test_second_derivatives_are_refused(backend):
    args = arguments("kd", 3, 4, device=DEVICES[backend])
    with pytest.raises(UserError, match=f"{backend}_kd has no second derivative"):
        torch.autograd.grad(implementation(backend, "kd")(*args), args[0], create_graph=True)


def test_the_reference_has_second_derivatives():
    student, teacher = mapped(arguments("kd", 2, 3), Tensor.double)
    assert torch.autograd.gradgradcheck(lambda x: implementation("reference", "kd")(x, teacher), student)


def test_compile_of_a_whole_loss(monkeypatch):
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "analytic")
    logits, maps = arguments("deep_kd", 4, 5), arguments("deep_mse", 4, 5)
    labels = torch.tensor([0, 1, 2, 4])

    def loss(teacher, shallow, last, *maps):
        terms = (*deep_kd(teacher, shallow, last), *deep_mse(*maps), *ce_kd(last, teacher, labels), kd(last, teacher))
        return sum(weight * term for weight, term in enumerate(terms, start=1))

    given = leaves([*logits, *maps])
    expected = loss(*logits, *maps)
    # Generating code is no work of ours.
    got = torch.compile(loss, fullgraph=True, backend="aot_eager")(*logits, *maps)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, given), torch.autograd.grad(expected, given))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_cuda_graph_capture(backend, operator):
    args = arguments(operator, 64, 100, device="cuda")

    def step():
        return torch.autograd.grad(weighted(implementation(backend, operator)(*args)), leaves(args))

    for _ in range(3):
        expected = step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = step()
    for x in got:
        x.fill_(float("nan"))
    graph.replay()
    torch.testing.assert_close(got, expected)
