"""Fused implementations against the reference in float64: shapes, types, layouts, switches, gradients."""

import itertools

import pytest
import torch

from kdbench.inputs.errors import UserError
from kdbench.losses import ce_kd, kd
from kdbench.losses.analytic import blocks
from tests.losses.support import (
    DEVICES,
    FUSED,
    OPERATORS,
    arguments,
    assert_agrees,
    implementation,
    leaves,
    mapped,
    run,
)

SHAPES = [(1, 2), (3, 7), (64, 100), (41, 1271)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
TWO_TYPES = list(itertools.permutations([torch.float64, torch.float32, torch.float16], 2))
SWITCHES = [
    dict(zip(("adaptive", "detach", "per_sample"), x, strict=True)) for x in itertools.product((True, False), repeat=3)
]

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_shapes(backend, operator, shape):
    assert_agrees(backend, operator, arguments(operator, *shape, device=DEVICES[backend]))


@pytest.mark.parametrize("operator", ["kd", "ce_kd", "deep_kd"])
@pytest.mark.parametrize("backend", FUSED)
def test_many_classes(backend, operator):
    assert_agrees(backend, operator, arguments(operator, 3, 50_000, device=DEVICES[backend]))


@pytest.mark.parametrize("operator", OPERATORS)
def test_programs_of_a_backward_pass_that_take_several_blocks(operator, monkeypatch):
    monkeypatch.setattr("kdbench.losses.triton.blocks.MOST_PROGRAMS", 2)
    assert_agrees("triton", operator, arguments(operator, 41, 1271, device=DEVICES["triton"]))


@pytest.mark.parametrize("operator", ["kd", "ce_kd", "deep_kd"])
def test_rows_in_blocks(operator, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_BYTES", 4 * 30 * 7)
    assert_agrees("analytic", operator, arguments(operator, 20, 30))
    if operator == "kd":
        assert_agrees("analytic", "kd", arguments("kd", 20, 30), tau=torch.linspace(1, 5, 20))


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_half_types(backend, operator, dtype):
    assert_agrees(backend, operator, arguments(operator, 20, 33, dtype=dtype, device=DEVICES[backend]))


@pytest.mark.parametrize("operator", OPERATORS)
def test_float64(operator):
    assert_agrees("analytic", operator, mapped(arguments(operator, 5, 6), torch.Tensor.double))


@pytest.mark.parametrize("backend", FUSED)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kd_switches(backend, reduction, dtype):
    args = arguments("kd", 5, 6, dtype=dtype, device=DEVICES[backend])
    assert_agrees(backend, "kd", args, tau=3.0, tau_squared=False, reduction=reduction)
    assert_agrees(backend, "kd", args, tau=1.0, reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("tau_squared", [True, False])
def test_kd_with_a_temperature_per_sample(reduction, tau_squared):
    options = {"tau": torch.tensor([1.0, 2.0, 3.5]), "reduction": reduction, "tau_squared": tau_squared}
    assert_agrees("analytic", "kd", arguments("kd", 3, 6), **options)


@pytest.mark.parametrize("backend", FUSED)
def test_ce_kd_switches(backend):
    assert_agrees(backend, "ce_kd", arguments("ce_kd", 5, 6, device=DEVICES[backend]), tau=2.0, tau_squared=False)


@pytest.mark.parametrize("tau_squared", [True, False])
def test_ce_kd_of_class_probabilities(tau_squared):
    """Σ_k −y_k·ln q_k beside the KD term; certain probabilities are indices."""
    student, teacher, labels = arguments("ce_kd", 5, 6)
    soft = torch.rand(5, 6, generator=torch.Generator().manual_seed(2)).softmax(1)
    given = {"tau": 2.0, "tau_squared": tau_squared}
    ours, alike = student.detach().requires_grad_(), student.detach().double().requires_grad_()
    ce, term = ce_kd(ours, teacher, soft, **given)
    expected = -(soft.double() * alike.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(ce.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(term, kd(student, teacher, **given))
    gradient, wanted = torch.autograd.grad(ce, ours)[0], torch.autograd.grad(expected, alike)[0]
    torch.testing.assert_close(gradient.double(), wanted, rtol=1e-5, atol=1e-6)
    certain = torch.nn.functional.one_hot(labels, 6).float()
    for one, other in zip(ce_kd(student, teacher, certain), ce_kd(student, teacher, labels), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda x: "-".join(k for k, v in x.items() if v) or "none")
@pytest.mark.parametrize("operator", ["deep_kd", "deep_mse"])
@pytest.mark.parametrize("backend", FUSED)
def test_weighting_switches(backend, operator, switches):
    args = arguments(operator, 5, 6, device=DEVICES[backend])
    if backend == "triton" and switches["adaptive"] and not switches["per_sample"]:
        with pytest.raises(UserError, match="per_sample=False"):
            implementation(backend, operator)(*args, **switches)
        return
    assert_agrees(backend, operator, args, **switches)


@pytest.mark.parametrize("switches", [{}, {"detach": False}], ids=["detached", "attached"])
def test_maps_that_no_program_holds(switches):
    """Triton's kernel reads them twice."""
    from kdbench.losses.triton.blocks import holds

    args = arguments("deep_mse", 3, 3001, device=DEVICES["triton"])
    assert not holds(args[0][0].numel(), 3) and holds(2**14, 3) and not holds(2**14, 4)
    assert_agrees("triton", "deep_mse", args, **switches)


@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize("operator", ["deep_kd", "deep_mse"])
@pytest.mark.parametrize("backend", FUSED)
def test_number_of_heads(backend, operator, heads):
    assert_agrees(backend, operator, arguments(operator, 4, 5, device=DEVICES[backend], heads=heads), detach=False)


@pytest.mark.parametrize("backend", FUSED)
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.repeat_interleave(2, 1)[:, ::2],
        lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
        lambda x: x.t().contiguous().t(),
    ],
    ids=["columns apart", "rows apart", "transposed"],
)
@pytest.mark.parametrize("operator", ["kd", "ce_kd", "deep_kd"])
def test_strided_logits(backend, operator, change):
    args = mapped(arguments(operator, 5, 6, device=DEVICES[backend]), change)
    assert not leaves(args)[0].is_contiguous()
    assert_agrees(backend, operator, args)


@pytest.mark.parametrize("backend", FUSED)
@pytest.mark.parametrize(
    "change",
    [lambda x: x.contiguous(memory_format=torch.channels_last), lambda x: torch.cat([x, x], 1)[:, : x.shape[1]]],
    ids=["channels last", "samples apart"],
)
def test_strided_maps(backend, change):
    args = mapped(arguments("deep_mse", 5, 6, device=DEVICES[backend]), change)
    assert not leaves(args)[0].is_contiguous()
    assert_agrees(backend, "deep_mse", args)
    _, gradients = run(implementation(backend, "deep_mse"), args)
    if args[0].is_contiguous(memory_format=torch.channels_last):
        assert all(g.is_contiguous(memory_format=torch.channels_last) for g in gradients)


@pytest.mark.parametrize("backend", FUSED)
def test_maps_in_different_layouts(backend):
    args = arguments("deep_mse", 5, 6, device=DEVICES[backend])
    args[1][0] = mapped([args[1][0]], lambda x: x.contiguous(memory_format=torch.channels_last))[0]
    assert_agrees(backend, "deep_mse", args)


@pytest.mark.parametrize("backend", FUSED)
def test_embeddings_as_maps(backend):
    args = mapped(arguments("deep_mse", 5, 6, device=DEVICES[backend]), lambda x: x.flatten(1))
    assert_agrees(backend, "deep_mse", args)


def test_teacher_and_heads_of_different_types():
    args = arguments("deep_mse", 5, 6, dtype=torch.bfloat16)
    args[0] = args[0].float()
    assert_agrees("analytic", "deep_mse", args)
    logits = arguments("deep_kd", 5, 6)
    logits[1][0] = logits[1][0].detach().bfloat16().requires_grad_()
    assert_agrees("analytic", "deep_kd", logits)


@pytest.mark.parametrize("types", TWO_TYPES, ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_inputs_of_any_two_types_are_left_alone(operator, types):
    """The second call sees what the first one left."""
    of_teacher, of_heads = types
    teacher = 0 if operator.startswith("deep") else 1
    args = mapped(arguments(operator, 5, 6), lambda x: x.to(of_heads))
    args[teacher] = args[teacher].to(of_teacher)
    for _ in range(2):
        assert_agrees("analytic", operator, args)


@pytest.mark.parametrize("tau_squared", [True, False])
def test_temperatures_in_a_type_of_less_digits_cost_a_float64_gradient_none(tau_squared):
    args = mapped(arguments("kd", 3, 6), torch.Tensor.double)
    tau = torch.tensor([1.0, 2.1, 3.7])
    assert_agrees("analytic", "kd", args, tau=tau, tau_squared=tau_squared)


@pytest.mark.parametrize("operator", ["kd", "deep_kd"])
def test_many_classes_in_float16_beside_a_teacher_that_is_close(operator):
    """Slopes of 10⁻⁷ keep their digits until a loss scaler's upstream gradient lifts them."""
    torch.manual_seed(0)
    teacher = torch.randn(4, 20_000).half()
    heads = [(teacher + torch.randn(4, 20_000) / 10).half().requires_grad_() for _ in range(2)]

    def scaled(heads, teacher, backend):
        function = implementation(backend, operator)
        loss = function(heads[0], teacher) if operator == "kd" else sum(function(teacher, heads[:1], heads[1]))
        return torch.autograd.grad(loss * 1024, heads, allow_unused=True)

    exact = scaled([x.detach().double().requires_grad_() for x in heads], teacher.double(), "reference")
    for ours, other in zip(scaled(heads, teacher, "analytic"), exact, strict=True):
        assert ours is other is None or (ours.double() - other).norm() / other.norm() < 2e-3


def test_float16_maps_farther_apart_than_float16_reaches():
    teacher = torch.full((2, 8), -6e4, dtype=torch.float16)
    heads = [torch.full((2, 8), x, dtype=torch.float16).requires_grad_() for x in (6e4, 5e4)]
    _, gradients = run(implementation("analytic", "deep_mse"), [teacher, heads[:1], heads[1]])
    exact = [3 * 2 * 1.2e5 / 16, 2 * 2 * 1.1e5 / 16]
    torch.testing.assert_close([x[0, 0].item() for x in gradients], exact, rtol=1e-3, atol=0)


def test_a_batch_of_no_samples_in_a_half_type():
    student, teacher = arguments("kd", 0, 6, dtype=torch.bfloat16)
    _, (gradient,) = run(implementation("analytic", "kd"), [student, teacher], reduction="none")
    assert gradient.shape == (0, 6) and gradient.dtype == torch.bfloat16


@pytest.mark.parametrize("gap", [1e2, 1e4])
@pytest.mark.parametrize("operator", ["kd", "ce_kd", "deep_kd"])
@pytest.mark.parametrize("backend", ["reference", *FUSED])
def test_extreme_logits_stay_finite(backend, operator, gap):
    args = mapped(arguments(operator, 5, 6, device=DEVICES[backend]), lambda x: (x > 0).to(x) * gap)
    losses, gradients = run(implementation(backend, operator), args)
    assert all(x.isfinite().all() for x in (*losses, *gradients))
    assert_agrees(backend, operator, args)


@pytest.mark.parametrize("backend", ["reference", *FUSED])
def test_extreme_maps_stay_finite(backend):
    args = mapped(arguments("deep_mse", 5, 6, device=DEVICES[backend]), lambda x: x * 1e4)
    losses, gradients = run(implementation(backend, "deep_mse"), args)
    assert all(x.isfinite().all() for x in (*losses, *gradients))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_equal_inputs_give_equal_bits(backend, operator):
    args = arguments(operator, 40, 100, device=DEVICES[backend])
    first, second = (run(implementation(backend, operator), args) for _ in range(2))
    assert all(torch.equal(x, y) for a, b in zip(first, second, strict=True) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("backend", FUSED)
def test_identical_heads_and_teacher(backend):
    """No divergence at all: the weights' denominator is ε alone."""
    args = arguments("deep_kd", 3, 4, device=DEVICES[backend])
    same = mapped(args, lambda x: args[0].clone())
    losses, gradients = run(implementation(backend, "deep_kd"), same)
    assert all(x.abs().max() < 1e-5 for x in (*losses, *gradients))


@pytest.mark.parametrize("backend", FUSED)
def test_small_float16_gradients_survive_until_a_loss_scaler_lifts_them(backend):
    args = arguments("deep_mse", 64, 3000, dtype=torch.float16, device=DEVICES[backend], heads=1)
    last, _ = implementation(backend, "deep_mse")(*args)
    (scaled,) = torch.autograd.grad(last * 2.0**16, leaves(args))
    exact = 2.0**17 * (args[2] - args[0]).double() / args[0].numel()
    assert (scaled.double() - exact).norm() / exact.norm() < 2e-3
