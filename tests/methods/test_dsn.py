import pytest
import torch

from kdbench.model import Outputs
from kdbench_methods.dsn import DSN
from tests.methods import reference as ref
from tests.methods.support import PAIRS, approx, assert_terms, case, check_gradient, shallow_heads
from tests.support import STUDENT, declared, random_batch, tiny_architecture


def shallow_losses(method, student, batch):
    return [ref.cross_entropy(head.logits, batch.labels) for head in shallow_heads(method, student)]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms_equal_the_formula(pair):
    method, student, teacher, batch = case(DSN, pair)
    losses = shallow_losses(method, student, batch)
    assert len(losses) == len(student.stages) - 1
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        ce_shallow=sum(losses),
    )


def test_reduction_mean_is_the_sum_over_the_number_of_heads():
    method, student, teacher, batch = case(DSN, reduction="mean")
    losses = shallow_losses(method, student, batch)
    assert method.terms(student, teacher, batch)["ce_shallow"].item() == approx(sum(losses) / 3)


@pytest.mark.parametrize(("epoch", "factor"), [(1, 1.0), (3, 0.5), (5, 0.0), (9, 0.0)])
def test_decay_falls_linearly_to_zero(epoch, factor):
    method, student, teacher, _ = case(DSN, decay_epochs=4)
    assert method.needs_for(method.params).batch == ("epoch",)
    _, _, batch = declared(method, student, teacher, random_batch(epoch=epoch))
    losses = shallow_losses(method, student, batch)
    assert method.terms(student, teacher, batch)["ce_shallow"].item() == approx(factor * sum(losses))


def test_linear_heads_see_the_pooled_stage():
    method, student, teacher, batch = case(DSN, heads="linear")
    losses = []
    for branch, stage in zip(method.branches, student.stages, strict=False):
        classifier = branch.head.classifier
        logits = ref.pool(stage, 1, 1).flatten(1) @ classifier.weight.T + classifier.bias
        losses.append(ref.cross_entropy(logits, batch.labels))
    assert len(list(method.parameters())) == 6
    assert method.terms(student, teacher, batch)["ce_shallow"].item() == approx(sum(losses))


def test_weights():
    assert DSN.weights(DSN.Params(w=0.5)) == {"ce": 1.0, "ce_shallow": 0.5}


def test_it_needs_no_teacher():
    method, student, _, batch = case(DSN)
    assert method.needs_for(method.params).teacher == ()
    assert method.terms(student, Outputs("teacher"), batch).keys() == {"ce", "ce_shallow"}


def test_the_heads_reach_the_trunk_and_are_freshly_drawn():
    method, student, teacher, batch = case(DSN)
    method.terms(student, teacher, batch)["ce_shallow"].backward()
    assert all((stage.grad != 0).any() for stage in student.stages[:-1])
    assert student.stages[-1].grad is None
    classifiers = [branch.head.classifier.weight for branch in method.branches]
    assert not torch.equal(classifiers[0], classifiers[1])


def test_a_student_of_one_stage_is_declined():
    single = tiny_architecture("single", (4,), (1,))
    assert "no shallow stage" in DSN.decline(DSN.Params(), single.shapes(5, 8), None)
    assert DSN.decline(DSN.Params(), STUDENT.shapes(5, 8), None) is None


@pytest.mark.parametrize("heads", ["branch", "linear"])
def test_gradient(heads):
    check_gradient(*case(DSN, heads=heads), "logits", "stages")
