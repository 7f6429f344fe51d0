"""Methods decline pairs whose networks lack what they ask for: said before training."""

import pytest
from torch import nn

from kdbench.method import Method, Needs
from kdbench.model import FEATURES, Architecture, Head, NotOfferedError, Outputs, StagedModel
from kdbench.plugins import load_plugins
from kdbench.trial import Side, why_declined
from tests.support import STUDENT, TEACHER


class Partial(StagedModel):
    """Has no stem to tap, and no branches."""

    offers = tuple(feature for feature in FEATURES if feature not in ("stem", "class_maps"))
    branches = ()

    def outputs(self, x, asked=()):
        whole = super().outputs(x, asked)
        return Outputs(**{feature: getattr(whole, feature) for feature in whole.features if feature in self.offers})

    def branch(self, after):
        raise NotOfferedError(f"it grows a branch behind stage {after}, and there is none")


def partial_network(num_classes):
    model = STUDENT.build(num_classes)
    return Partial(model.stem, model.stages, model.head)


PARTIAL = Side(
    Architecture("partial", "tiny", partial_network), Architecture("partial", "tiny", partial_network).shapes(5, 8), 8
)
WHOLE = Side(TEACHER, TEACHER.shapes(5, 8), 8)


def why(name, student, teacher, **params):
    method = load_plugins().method(name)
    return why_declined(method, method.Params(**params), student, teacher)


def test_shapes_say_what_is_not_there():
    assert PARTIAL.shapes.absent == ("stem", "class_maps") and PARTIAL.shapes.stem == (0, 0, 0)
    assert PARTIAL.shapes.unbranched == (1, 2, 3)
    assert not PARTIAL.shapes.whole and WHOLE.shapes.whole


@pytest.mark.parametrize(
    ("name", "student", "teacher", "sentence"),
    [
        ("kd", PARTIAL, WHOLE, None),
        ("at", PARTIAL, PARTIAL, None),
        ("crd", PARTIAL, WHOLE, None),
        ("fsp", PARTIAL, WHOLE, "it reads stem of the student, which partial has not"),
        ("cat_kd", WHOLE, PARTIAL, "it reads class_maps of the teacher, which partial has not"),
        ("dsn", PARTIAL, None, "it grows a branch behind stage 1, and there is none"),
        ("dskd", PARTIAL, WHOLE, "it grows a branch behind stage 1, and there is none"),
        ("dskd", WHOLE, PARTIAL, None),
        # Its pre-stage grows branches on the teacher.
        ("mtkd_ssr", WHOLE, PARTIAL, "it grows a branch behind stage 1, and there is none"),
    ],
)
def test_built_in_methods(name, student, teacher, sentence):
    assert why(name, student, teacher) == sentence


def test_a_methods_own_sentence_comes_as_before():
    narrow = Side(STUDENT, STUDENT.shapes(5, 8), 8)
    found = why("fsp", narrow, WHOLE)
    method = load_plugins().method("fsp")
    assert found == method.decline(method.Params(), narrow.shapes, WHOLE.shapes) is not None


def test_a_method_that_takes_the_network_apart_is_tried_where_it_is_deployed():
    class Apart(Partial):
        @property
        def parts(self):
            raise NotOfferedError("it takes the student apart")

    class Deploying(Method):
        name = "deploying"
        needs = Needs()

        def deploy(self, student):
            return nn.ModuleDict(student.parts)

    architecture = Architecture(
        "apart", "tiny", lambda k: Apart(nn.Identity(), [nn.Identity()], Head(nn.Identity(), nn.Linear(3, k)))
    )
    side = Side(architecture, architecture.shapes(5, 8), 8)
    assert why_declined(Deploying, Deploying.Params(), side, None) == "it takes the student apart"


def test_what_else_goes_wrong_in_a_trial_declines_nothing():
    class Broken(Method):
        name = "broken"

        def setup(self, build):
            raise ValueError("as it would with data")

    assert why_declined(Broken, Broken.Params(), PARTIAL, None) is None
