"""SimKD: the feature loss, the frozen classifier, and what is deployed."""

import pytest
import torch
from torch import nn

from kdbench_methods.simkd import SimKD
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case
from tests.support import STUDENT, TEACHER, build_method


@pytest.mark.parametrize("tap", ["last_stage", "final_map"])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_terms(tap, pair):
    method, student, teacher, batch = case(SimKD, pair, tap=tap)
    ours = student.stages[-1] if tap == "last_stage" else student.final_map
    ours, theirs = ref.pool_larger(ours, teacher.final_map)
    expected = ref.square_error(method.projector(ours), theirs)
    assert_terms(method.terms(student, teacher, batch), feat=expected)


@pytest.mark.parametrize("tap", ["last_stage", "final_map"])
@pytest.mark.parametrize("swapped", [False, True])
def test_deployed_module_is_the_formula(tap, swapped):
    pair = {"student": TEACHER, "teacher": STUDENT} if swapped else {"student": STUDENT, "teacher": TEACHER}
    method = build_method(SimKD, **pair, tap=tap).float()
    student = pair["student"].build(5)
    deployed = method.deploy(student).eval()
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    outputs = student.outputs(images)
    feature = outputs.stages[-1] if tap == "last_stage" else outputs.final_map
    if swapped:  # 2 × 2 in the student, 1 × 1 in the teacher
        feature = feature.mean(dim=(2, 3), keepdim=True)
    embedding = method.projector(feature).mean(dim=(2, 3))
    expected = embedding @ method.classifier.weight.T + method.classifier.bias
    torch.testing.assert_close(deployed(images), expected)
    names = {id(parameter) for parameter in deployed.parameters()}
    assert not names & {id(parameter) for parameter in student.head.classifier.parameters()}
    assert names >= {id(p) for kept in SimKD.kept for p in getattr(method, kept).parameters()}


def test_teacher_classifier_is_copied_frozen_and_unchanged_by_a_step():
    method, student, teacher, batch = case(SimKD)
    torch.manual_seed(0)
    original = TEACHER.build(5).double().head.classifier
    assert torch.equal(method.classifier.weight, original.weight)
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    assert not {id(p) for p in trained} & {id(p) for p in method.classifier.parameters()}
    optimizer = torch.optim.SGD(trained, lr=0.1, weight_decay=0.1)
    before = method.projector[0].weight.clone()
    method.terms(student, teacher, batch)["feat"].backward()
    optimizer.step()
    assert torch.equal(method.classifier.weight, original.weight)
    assert torch.equal(method.classifier.bias, original.bias)
    assert not torch.equal(method.projector[0].weight, before)


def test_classifier_stays_in_eval_mode():
    method = build_method(SimKD)
    assert method.train().projector.training and not method.classifier.training
    assert not method.eval().projector.training


def test_bottleneck_and_decline():
    method = build_method(SimKD, factor=3)
    assert [m.out_channels for m in method.projector if isinstance(m, nn.Conv2d)] == [4, 4, 12]
    shapes = STUDENT.shapes(5, 8), TEACHER.shapes(5, 8)
    assert SimKD.decline(SimKD.Params(factor=12), *shapes) is None
    assert SimKD.decline(SimKD.Params(factor=13), *shapes) == "factor 13 leaves none of the teacher's 12 channels"


def test_default_weights_have_no_cross_entropy():
    assert SimKD.weights(SimKD.Params()) == {"feat": 1.0}
