"""SRRL: both losses in loops, the reused classifier, and where the connector stands."""

import pytest
import torch
from torch import nn

from kdbench_methods.srrl import SRRL
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient
from tests.support import TEACHER, build_method


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("connect", ["map", "embedding"])
def test_terms_equal_the_formula(pair, connect):
    method, student, teacher, batch = case(SRRL, pair, connect=connect)
    ours = student.final_map if connect == "map" else student.embedding[:, :, None, None]
    convolution, norm, relu = method.connector
    connected = relu(norm(ref.pointwise(convolution, ours)))
    embedding = ref.pool(connected, 1, 1).flatten(1)
    rows = [ref.linear(row, method.classifier.module) for row in embedding.tolist()]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        feature=ref.square_error(embedding, teacher.embedding),
        regression=ref.square_error(torch.tensor(rows, dtype=torch.float64), teacher.logits),
    )


def test_the_classifier_is_the_teachers_and_frozen():
    method = build_method(SRRL)
    torch.manual_seed(0)
    original = TEACHER.build(5).double().head.classifier
    assert torch.equal(method.classifier.module.weight, original.weight)
    assert not any(parameter.requires_grad for parameter in method.classifier.module.parameters())
    assert not any(name.startswith("classifier") for name in method.state_dict())


def test_the_connector_is_a_1x1_convolution_drawn_with_the_fan_out():
    method = build_method(SRRL)
    convolution, norm, relu = method.connector
    assert (convolution.kernel_size, convolution.bias) == ((1, 1), None)
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(relu, nn.ReLU)
    torch.manual_seed(0)
    drawn = torch.empty_like(convolution.weight).normal_(0, (2 / convolution.out_channels) ** 0.5)
    assert convolution.weight.std().item() == pytest.approx(drawn.std().item(), rel=0.3)


@pytest.mark.parametrize("kd_term", ["kd", "none", "dkd"])
def test_the_teachers_logits_are_read_whatever_the_kd_term(kd_term):
    assert SRRL.needs_for(SRRL.Params(kd_term=kd_term)).teacher == ("logits", "embedding")


def test_gradient():
    check_gradient(*case(SRRL), "logits", "final_map")


def test_weights_and_remark():
    assert SRRL.weights(SRRL.Params()) == {"ce": 1.0, "kd": 1.0, "feature": 1.0, "regression": 1.0}
    assert (SRRL.caveat_for(SRRL.Params()), SRRL.caveat_for(SRRL.Params(alpha=0))) == ("+ KD", "")
