"""CRD: loss, negatives, banks, normaliser and resuming."""

import copy
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdbench.method import Build
from kdbench_methods.crd import CRD
from tests.methods import reference as ref
from tests.methods.support import case, replaced
from tests.support import STUDENT, TEACHER, build_method, declared, random_batch, random_outputs

TRAIN_SIZE = 40
CLASSES = 5


def contrast(anchors, bank, rows, temperature, z):
    """−mean_i [log P/(P + m/N) + Σ_j log (m/N)/(P_j + m/N)] with P = exp(v·M/τ)/Z."""
    losses = []
    for v, (positive, *negatives) in zip(anchors, rows, strict=True):
        noise = len(negatives) / TRAIN_SIZE
        p = math.exp(ref.dot(v, bank[positive]) / temperature) / z
        loss = -math.log(p / (p + noise))
        for row in negatives:
            p = math.exp(ref.dot(v, bank[row]) / temperature) / z
            loss -= math.log(noise / (p + noise))
        losses.append(loss)
    return ref.mean(losses)


def embedded(layer, features):
    return [ref.unit(ref.linear(x, layer)) for x in ref.flat(features)]


def drawn_rows(method, batch):
    """What the method will draw from the batch's generator, without advancing it."""
    state = batch.generator.get_state()
    rows = torch.cat([method.draw_positives(batch), method.draw_negatives(batch)], dim=1).tolist()
    batch.generator.set_state(state)
    return rows


@pytest.mark.parametrize("params", [{}, {"mode": "relax", "negatives": 7, "temperature": 0.3, "momentum": 0.9}])
def test_two_steps(params):
    method, student, teacher, batch = case(CRD, dim=4, **params)
    temperature, momentum = method.params.temperature, method.params.momentum
    v_s, v_t = embedded(method.embed_student, student.embedding), embedded(method.embed_teacher, teacher.embedding)
    sides = [(v_t, v_s, method.bank_student), (v_s, v_t, method.bank_teacher)]
    z = [None, None]
    for _ in range(2):
        rows, banks = drawn_rows(method, batch), [bank.tolist() for _, _, bank in sides]
        crd = 0.0
        for side, (anchors, _, _) in enumerate(sides):
            scores = [ref.dot(v, banks[side][j]) for v, row in zip(anchors, rows, strict=True) for j in row]
            # Set in the first step, kept in the second.
            z[side] = z[side] or TRAIN_SIZE * ref.mean([math.exp(score / temperature) for score in scores])
            crd += contrast(anchors, banks[side], rows, temperature, z[side])
        terms = method.terms(student, teacher, batch)
        assert terms["crd"].item() == pytest.approx(crd, rel=1e-9)
        assert method.normalizers.tolist() == pytest.approx(z, rel=1e-9)
        for side, (_, vectors, bank) in enumerate(sides):
            expected = banks[side]
            for i, v in zip(batch.index.tolist(), vectors, strict=True):
                mixed = [momentum * old + (1 - momentum) * new for old, new in zip(expected[i], v, strict=True)]
                expected[i] = ref.unit(mixed)
            torch.testing.assert_close(bank, torch.tensor(expected, dtype=torch.float64))
    assert terms["kd"].item() == pytest.approx(ref.kd(student.logits, teacher.logits, 4.0), rel=1e-10)
    assert terms["ce"].item() == pytest.approx(ref.cross_entropy(student.logits, batch.labels), rel=1e-10)


def test_gradient():
    """The bank that backward reads is the one the scores were made with, although the step has changed it since."""
    method, student, teacher, batch = case(CRD, batch=3, dim=4, negatives=5)
    method.terms(student, teacher, batch)  # the normaliser is a constant to the gradient, so it must be set before
    state, draws = copy.deepcopy(dict(method.named_buffers())), batch.generator.get_state()

    def loss(embedding):
        for name, buffer in method.named_buffers():
            buffer.copy_(state[name])
        batch.generator.set_state(draws)
        return method.terms(replaced(student, embedding=embedding), teacher, batch)["crd"]

    assert torch.autograd.gradcheck(loss, student.embedding.detach().requires_grad_())


def test_negatives_are_uniform_over_other_classes():
    """Chi-square over 6 × 5000 draws; the classes have unequal sizes, and class 3 is empty."""
    labels = torch.tensor([0] * 3 + [2] * 9 + [1] * 2 + [2] * 1 + [4] * 5)
    shapes = STUDENT.shapes(CLASSES, 8), TEACHER.shapes(CLASSES, 8)
    networks = STUDENT.build(CLASSES), TEACHER.build(CLASSES)
    method = CRD(CRD.Params(), Build(networks[0], shapes[0], labels, 6, networks[1], shapes[1], epochs=1))
    assert method.negatives == len(labels) - 10
    method.negatives = 5000  # more draws for the statistic
    batch = random_batch(batch=6)
    batch.labels = torch.tensor([0, 1, 2, 2, 4, 0])
    drawn = method.draw_negatives(batch)
    assert drawn.shape == (6, 5000)
    for own, row in zip(batch.labels, drawn, strict=True):
        others = labels != own
        hits = torch.bincount(row, minlength=len(labels)).double()
        assert (hits[~others] == 0).all()
        expected = 5000 / others.sum()
        chi_square = ((hits[others] - expected) ** 2 / expected).sum()
        degrees = others.sum() - 1
        assert chi_square < degrees + 4 * (2 * degrees).sqrt()


def test_relaxed_positives_are_of_the_own_class():
    method, _, _, batch = case(CRD, mode="relax")
    for _ in range(20):
        assert torch.equal(method.draw_positives(batch).squeeze(1) % CLASSES, batch.labels)


def test_negatives_are_no_more_than_other_classes_have():
    assert build_method(CRD).negatives == TRAIN_SIZE - TRAIN_SIZE // CLASSES
    assert build_method(CRD, negatives=5).negatives == 5
    with pytest.raises(ValueError, match="one class"):
        build_method(CRD, train_size=1)


def test_same_generator_state_same_loss():
    losses = []
    for _ in range(2):
        method, student, teacher, batch = case(CRD, negatives=5)
        losses.append(method.terms(student, teacher, batch)["crd"])
    assert torch.equal(*losses)


def test_resumes_exactly():
    def outputs(step):
        method_inputs = random_outputs(STUDENT, seed=10 * step), random_outputs(TEACHER, seed=10 * step + 1)
        return *method_inputs, random_batch(seed=step)

    def train(method, steps):
        return [method.terms(*declared(method, *outputs(step)))["crd"].item() for step in steps]

    unbroken = train(build_method(CRD, negatives=9), range(4))
    first = build_method(CRD, negatives=9)
    train(first, range(2))
    second = build_method(CRD, negatives=9, seed=1)
    second.load_state_dict(first.state_dict())
    assert train(second, range(2, 4)) == unbroken[2:]


def test_never_gathers_the_rows_of_the_negatives():
    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.elements = max(self.elements, result.numel())
            return result

    size, negatives, dim = 400, 300, 128
    method = build_method(CRD, train_size=size, negatives=negatives)
    inputs = random_outputs(STUDENT), random_outputs(TEACHER), random_batch(train_size=size)
    with Largest() as largest:
        method.terms(*declared(method, *inputs))["crd"].backward()
    assert largest.elements <= max(size * dim, 6 * size) < 6 * negatives * dim


def test_memory_is_foretold():
    params = CRD.Params()
    assert CRD.memory_bytes(params, 50_000) == 51_200_000
    method = build_method(CRD).float()
    assert CRD.memory_bytes(params, TRAIN_SIZE) == method.bank_student.nbytes + method.bank_teacher.nbytes


def test_banks_are_initialised_from_the_seed():
    a, b, c = (build_method(CRD, seed=seed).bank_student for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.norm(dim=1).mean() == pytest.approx(1, abs=0.05)


def test_default_weights():
    assert CRD.weights(CRD.Params()) == {"ce": 1.0, "kd": 1.0, "crd": 0.8}


def test_its_numbers_say_that_they_are_with_kd():
    """The authors' rows are without."""
    assert CRD.caveat_for(CRD.Params()) == "+ KD"
    assert CRD.caveat_for(CRD.Params(alpha=0)) == ""
