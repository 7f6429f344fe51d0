"""FT: the factors' distance in loops, the form of its modules, and its pre-stage."""

import pytest
import torch
from torch import nn

from kdbench.method import Build
from kdbench.model import Outputs
from kdbench_methods.ft import FT, Paraphraser
from tests.methods import reference as ref
from tests.methods.support import PAIRS, SIBLING, approx, assert_terms, case, check_gradient, prints, waves
from tests.support import STUDENT, TEACHER, build_method, random_batch, random_outputs


def attention(factor):
    """Each sample's mean of squares over channels, place by place, at unit length."""
    channels = factor.shape[1]
    return [
        ref.unit([sum(sample[c][n] ** 2 for c in range(channels)) / channels for n in range(len(sample[0]))])
        for sample in factor.flatten(2).tolist()
    ]


def whole(factor):
    return [ref.unit(row) for row in ref.flat(factor)]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(("factor", "compared"), [("attention", attention), ("whole", whole)])
def test_terms_equal_the_formula(pair, factor, compared):
    method, student, teacher, batch = case(FT, pair, factor=factor)
    ours, theirs = method.translator(student.stages[-1]), method.paraphraser.module(teacher.stages[-1])
    ours, theirs = (compared(part) for part in ref.pool_larger(ours, theirs))
    distances = [abs(a - b) for row, other in zip(ours, theirs, strict=True) for a, b in zip(row, other, strict=True)]
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        factor=ref.mean(distances),
    )


def test_the_modules_are_three_layers_of_3x3():
    method = build_method(FT, rate=0.4)
    for module, widths, norms in ((method.translator, (7, 7, 4, 4), 3), (method.paraphraser.module, (10, 10, 4, 4), 0)):
        convolutions = [layer for layer in module if isinstance(layer, nn.Conv2d)]
        assert [c.in_channels for c in convolutions] + [convolutions[-1].out_channels] == list(widths)
        assert all(c.kernel_size == (3, 3) and c.padding == (1, 1) and c.bias is not None for c in convolutions)
        assert sum(isinstance(layer, nn.BatchNorm2d) for layer in module) == norms
        assert [layer.negative_slope for layer in module if isinstance(layer, nn.LeakyReLU)] == [0.1] * 3


def test_the_pre_stage_learns_to_give_the_teachers_last_stage_again():
    stage, params = FT.pre_stage(FT.Params(rate=0.4))
    assert (stage, params) == (Paraphraser, Paraphraser.Params(rate=0.4))
    method = build_method(stage, TEACHER, None, rate=0.4)
    original = random_outputs(TEACHER).only(("stages",), "student")
    actual = method.terms(original, Outputs("teacher"), random_batch())
    again = method.decoder(method.encoder(original.stages[-1]))
    assert_terms(actual, reconstruction=ref.square_error(again, original.stages[-1]))
    assert [type(layer) for layer in method.decoder] == [nn.ConvTranspose2d, nn.LeakyReLU] * 3
    assert stage.weights(params) == {"reconstruction": 1.0}


def test_numbers_of_the_originals_paraphraser():
    method = build_method(Paraphraser, TEACHER, None)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(waves(*parameter.shape, phase=0.3) / 10)
    stages = tuple(waves(6, *stage, phase=0.7).requires_grad_() for stage in TEACHER.shapes(5, 8).stages)
    actual = prints(method, Outputs("student", stages=stages), Outputs("teacher"), random_batch())
    assert tuple(actual.values()) == pytest.approx((17.9961546451, 242.664048276, 42.249594749), rel=1e-9)


def test_the_factor_is_the_trained_encoders_and_frozen():
    network, shapes, labels = TEACHER.build(5), TEACHER.shapes(5, 8), torch.arange(40) % 5
    trained = Paraphraser(Paraphraser.Params(), Build(network, shapes, labels, 6, epochs=1))
    build = Build(SIBLING.build(5), SIBLING.shapes(5, 8), labels, 6, network, shapes, trained, epochs=1)
    method = FT(FT.Params(), build)
    x = torch.randn(2, 10, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(method.paraphraser.module(x), trained.encoder(x))
    assert not any(parameter.requires_grad for parameter in method.paraphraser.module.parameters())
    assert not any(name.startswith("paraphraser") for name in method.state_dict())


def test_decline():
    same, deeper = TEACHER.shapes(5, 8), STUDENT.shapes(5, 8)
    assert FT.decline(FT.Params(), same, same) is None
    assert "1×1" in FT.decline(FT.Params(), deeper, same)
    assert "1×1" in FT.decline(FT.Params(), same, deeper)
    assert FT.decline(FT.Params(factor="whole"), deeper, same) is None
    assert FT.decline(FT.Params(rate=0.01), same, same) == (
        "rate 0.01 leaves none of the 10 channels of the teacher's last stage"
    )


def test_gradient():
    check_gradient(*case(FT, PAIRS["equal stages"]), "logits", "stages")


def test_weights_and_remark():
    assert FT.weights(FT.Params()) == {"ce": 1.0, "kd": 1.0, "factor": approx(200)}
    assert (FT.caveat_for(FT.Params()), FT.caveat_for(FT.Params(alpha=0))) == ("+ KD", "")
