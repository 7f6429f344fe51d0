import pytest
import torch
from torch import nn

from kdbench_methods.fitnet import FitNet, regressor
from tests.methods import reference as ref
from tests.methods.support import PAIRS, assert_terms, case, check_gradient
from tests.support import STUDENT, TEACHER


def normalized(maps, relu):
    """Batch normalization of a new layer (scale 1, shift 0) with the batch's own statistics, channel by channel."""
    out = torch.empty_like(maps)
    for c in range(maps.shape[1]):
        values = maps[:, c].flatten().tolist()
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        out[:, c] = (maps[:, c] - mean) / (variance + 1e-5) ** 0.5
    return out.clamp(min=0) if relu else out


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize("hint", [1, 2])
@pytest.mark.parametrize("relu", [True, False])
def test_terms_equal_the_formula(pair, hint, relu):
    method, student, teacher, batch = case(FitNet, pair, hint=hint, relu=relu)
    regressed = normalized(method.regressor[0](student.stages[hint - 1]), relu)
    target = ref.pool(teacher.stages[hint - 1], *regressed.shape[2:])
    assert_terms(
        method.terms(student, teacher, batch),
        ce=ref.cross_entropy(student.logits, batch.labels),
        kd=ref.kd(student.logits, teacher.logits, 4.0),
        hint=ref.square_error(regressed, target),
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "kind", "kernel", "stride", "padding", "size"),
    [
        (8, 8, nn.Conv2d, 1, 1, 0, 8),
        (8, 4, nn.Conv2d, 3, 2, 1, 4),
        (4, 8, nn.ConvTranspose2d, 4, 2, 1, 8),
        (8, 5, nn.Conv2d, 4, 1, 0, 5),
        (8, 2, nn.Conv2d, 7, 1, 0, 2),
        (3, 8, nn.Conv2d, 3, 1, 1, 3),
        (1, 1, nn.Conv2d, 1, 1, 0, 1),
    ],
)
def test_the_regressor_fits_the_sizes(ours, theirs, kind, kernel, stride, padding, size):
    module = regressor((3, ours, ours), (7, theirs, theirs), relu=True)
    convolution = module[0]
    assert type(convolution) is kind
    assert convolution.kernel_size == (kernel, kernel)
    assert convolution.stride == (stride, stride)
    assert convolution.padding == (padding, padding)
    assert convolution.bias is not None
    assert isinstance(module[1], nn.BatchNorm2d)
    assert isinstance(module[2], nn.ReLU)
    assert module(torch.randn(4, 3, ours, ours)).shape == (4, 7, size, size)


def test_weights():
    assert FitNet.weights(FitNet.Params(alpha=0)) == {"ce": 1.0, "kd": 0.0, "hint": 100.0}


def test_a_hint_beyond_the_stages_is_declined():
    shapes = [a.shapes(5, 8) for a in (STUDENT, TEACHER)]
    assert FitNet.decline(FitNet.Params(hint=3), *shapes) is None
    assert "hint 4 reaches beyond the 3 stages" in FitNet.decline(FitNet.Params(hint=4), *shapes)


def test_gradient():
    check_gradient(*case(FitNet), "logits", "stages")
