"""Optimizers, clipping, the weights' average and accumulation: against their formulas in float64."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import cross_entropy

from kdbench.data.mixing import Mixing
from kdbench.recipe import Recipe
from kdbench.training.average import Average
from kdbench.training.optimizer import make_optimizer
from tests.training.support import GAINED
from tests.training.test_step import lockstep

STEPS = 5


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def gradients(model: nn.Module) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [[torch.randn(p.shape, generator=generator) for p in model.parameters()] for _ in range(STEPS)]


def stepped(recipe: Recipe) -> nn.Module:
    """A network after some steps on given gradients at a rate that changes."""
    model = network()
    lr = torch.tensor(recipe.lr)
    optimizer, _ = make_optimizer(recipe, model.named_parameters(), lr)
    for number, gradient in enumerate(gradients(model)):
        lr.fill_(recipe.lr / (1 + number))
        for parameter, value in zip(model.parameters(), gradient, strict=True):
            parameter.grad = value.clone()
        optimizer.step()
    return model


def adamw(recipe: Recipe, decays: list[float]) -> list[Tensor]:
    """Algorithm 2 of Loshchilov and Hutter (2019) with η_t = lr_t and α = 1, in float64."""
    model = network().double()
    b1, b2 = recipe.betas
    values = [p.detach().clone() for p in model.parameters()]
    m, v = ([torch.zeros_like(p) for p in values] for _ in range(2))
    for number, gradient in enumerate(gradients(model)):
        lr, t = recipe.lr / (1 + number), number + 1
        for place, (x, g) in enumerate(zip(values, gradient, strict=True)):
            g = g.double()
            m[place] = b1 * m[place] + (1 - b1) * g
            v[place] = b2 * v[place] + (1 - b2) * g * g
            step = (m[place] / (1 - b1**t)) / ((v[place] / (1 - b2**t)).sqrt() + recipe.eps)
            values[place] = x - lr * step - lr * decays[place] * x
    return values


@pytest.mark.parametrize("decay_norms", [True, False])
def test_adamw_is_its_papers(decay_norms: bool) -> None:
    recipe = Recipe(optimizer="adamw", lr=0.02, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-3, decay_norms=decay_norms)
    # Convolution's weight and bias, norm's scale and shift, classifier's weight and bias.
    decays = [0.3] * 6 if decay_norms else [0.3, 0, 0, 0, 0.3, 0]
    for ours, theirs in zip(stepped(recipe).parameters(), adamw(recipe, decays), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-6)


def test_sgd_spares_norms_where_the_recipe_says_so() -> None:
    whole, spared = (stepped(Recipe(weight_decay=0.3, decay_norms=both)) for both in (True, False))
    same = [torch.equal(a, b) for a, b in zip(whole.parameters(), spared.parameters(), strict=True)]
    assert same == [True, False, False, False, True, False]
    none = stepped(Recipe(weight_decay=0.0))
    assert all(torch.equal(a, b) for a, b in zip(spared.parameters(), none.parameters(), strict=True) if a.ndim == 1)


def test_the_average_is_its_formula() -> None:
    decay, model = 0.9, network()
    average = Average(model, decay)
    expected = {name: value.double() for name, value in model.state_dict().items()}
    for number in range(STEPS):
        model(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(number)))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1
        average.update()
        for name, value in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name, value in average.tensors.items():
        if name.endswith("num_batches_tracked"):
            assert value == STEPS
        else:
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert not any(p.requires_grad for p in average.module.parameters())


def test_a_tensor_of_two_names_is_averaged_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    average = Average(model, 0.5)
    before = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.add_(1)
    average.update()
    torch.testing.assert_close(average.tensors["1.weight"], before + 0.5)


def one_step(**changes: object) -> list[Tensor]:
    """A student's gradients in a step of 8 images."""
    work = lockstep("kd", **changes)
    (member,) = work.members
    # In eval mode batch norm is a constant map, so that a batch's parts add up to the batch.
    member.network.eval()
    work.seek(1, 0)
    for update in work.updates(work.batches.drawn(0), work.members):
        update()
    return [p.grad for p in member.parameters if p.grad is not None]


def test_a_batch_in_parts_has_the_batchs_gradient() -> None:
    whole, parted = one_step(), one_step(accumulate=2)
    for one, other in zip(parted, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_to_a_norm_of_all_of_them() -> None:
    whole = one_step()
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in whole))
    for limit, factor in ((norm / 3, 1 / 3), (norm * 3, 1.0)):
        for one, other in zip(one_step(clip_norm=limit), whole, strict=True):
            torch.testing.assert_close(one, other * factor, rtol=1e-4, atol=1e-7)


def test_a_short_batch_is_parted_evenly() -> None:
    """8 of 20 images are left for the last batch of 12; in parts of at most 3 they are 3, 3 and 2."""
    work = lockstep("kd", batch_size=12, accumulate=4)
    (member,) = work.members
    seen: list[int] = []
    terms = member.method.terms

    def watched(*handed):  # type: ignore[no-untyped-def]
        seen.append(len(handed[2].labels))
        return terms(*handed)

    member.method.terms = watched
    for step in range(2):
        work.seek(1, step)
        for update in work.updates(work.batches.drawn(step), work.members):
            update()
    assert seen == [3, 3, 3, 3, 3, 3, 2]


def test_a_step_leaves_nothing_on_the_cpu_and_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixing, clipping, moments and the average on a GPU that need not be there; PyTorch's own step apart."""
    gpu = torch.device("cuda", 0)
    with FakeTensorMode():
        with gpu:
            model, another = network(), network()
        # Tensors without values cannot be copied so.
        monkeypatch.setattr("kdbench.training.average.copy.deepcopy", lambda module: another)
        named = list(model.named_parameters())
        _, state = make_optimizer(GAINED, named, torch.ones((), device=gpu))
        average = Average(model, 0.9)
        mixing = Mixing(GAINED.augmentation, 0.1, 3, ("noise", 0), gpu)
        mixing.seek(1, 0)
        images, labels = mixing(torch.ones(8, 3, 8, 8, device=gpu), torch.zeros(8, dtype=torch.int64, device=gpu))
        loss = cross_entropy(model(images), labels)
        for parameter in model.parameters():  # a backward pass wants a device
            parameter.grad = torch.ones_like(parameter)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        average.update()
        everything = [loss, *state.values(), *average.tensors.values(), *(p.grad for p in model.parameters())]
    assert {tensor.device for tensor in everything if tensor is not None} == {gpu}


def test_a_batch_in_parts_is_what_a_method_builds_on() -> None:
    work = lockstep("semckd", batch_size=8, accumulate=2)
    assert work.members[0].method.batch_size == 4
