"""Methods with another KD term: another method's on logits, or none."""

import pytest
import torch
from torch import nn

from kdbench.execution.plan import cohorts
from kdbench.execution.staleness import Present
from kdbench.formula import formula
from kdbench.inputs.errors import UserError
from kdbench.inputs.validation import validated
from kdbench.method import Method, MethodParams, Needs
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from kdbench_methods.at import AT
from kdbench_methods.crd import CRD
from kdbench_methods.kd_term import WithKDTerm, methods_on_logits
from kdbench_methods.nst import NST
from kdbench_methods.sp import SP
from tests.methods.support import PAIRS, approx, assert_terms, case, weighted_sum
from tests.training.support import outcome, runs, train

REGISTRY = load_plugins()
BUILTIN = [REGISTRY.method(name) for name in REGISTRY.usable("method")]
WITH_KD_TERM = [method for method in BUILTIN if issubclass(method, WithKDTerm)]
ON_LOGITS = sorted(name for name in methods_on_logits() if name in REGISTRY.usable("method"))


def test_methods_on_logits():
    assert {"ka", "dtd", "ka_dtd", "dkd", "lskd", "ttm", "wttm", "nkd", "normkd", "dist"} <= set(ON_LOGITS)
    # They read no teacher, features, or have no label's term of their own.
    assert not {"kd", "student", "supervised", "at", "dskd"} & set(ON_LOGITS)


@pytest.mark.parametrize("method", WITH_KD_TERM, ids=lambda method: method.name)
def test_kd_by_default_none_or_another(method):
    """Own terms stay what they are; the KD term is KD's, none, or all of another method's but the label's."""
    # Where all terms count and all methods fit: in the last epoch, on equal networks.
    where = {"pair": PAIRS["same network"], "epoch": 10}
    built, *handed = case(method, **where)
    found = {name: term.item() for name, term in built.terms(*handed).items()}
    assert "kd_term" not in built.params.of_run()
    own = {name: value for name, value in found.items() if name != "kd"}
    without, *handed = case(method, kd_term="none", **where)
    assert_terms(without.terms(*handed), **own)
    assert without.weights(without.params) == {n: w for n, w in built.weights(built.params).items() if n != "kd"}
    adjusted, *handed = case(method, kd_term="ka_dtd", alpha=0.5, **where)
    alone, *handed_alone = case(methods_on_logits()["ka_dtd"], **where)
    theirs = {name: term.item() for name, term in alone.terms(*handed_alone).items()}
    assert_terms(adjusted.terms(*handed), **own | theirs)
    assert adjusted.weights(adjusted.params) == built.weights(built.params) | {"kd": 0.5}


@pytest.mark.parametrize("name", ON_LOGITS)
def test_any_method_on_logits_is_a_kd_term(name):
    term = methods_on_logits()[name]
    built, *handed = case(AT, kd_term=name, alpha=3.0)
    alone, *handed_alone = case(term)
    without, *handed_without = case(AT, kd_term="none")
    terms, theirs = built.terms(*handed), alone.terms(*handed_alone)
    weights = alone.weights(alone.params)
    expected = weighted_sum(without, without.terms(*handed_without))
    expected += 3 * sum(weights[name] * value for name, value in theirs.items() if name != "ce")
    assert weighted_sum(built, terms).item() == approx(expected.item())
    lines, own = formula(AT, built.params), formula(term, alone.params)
    for line in own.splitlines()[1:]:
        assert line.partition(" × ")[2] in lines
    assert set(alone.needs_for(alone.params).batch) <= set(built.needs_for(built.params).batch)
    assert built.params.of_run()["kd_term"] == {name: alone.params.of_run()}


def test_its_own_parameters():
    built, *handed = case(SP, kd_term={"dkd": {"beta": 6, "tau": 2}})
    assert built.weights(built.params) == {"ce": 1.0, "tckd": 1.0, "nckd": 6.0, "sp": 3000.0}
    alone, *handed_alone = case(methods_on_logits()["dkd"], beta=6, tau=2)
    assert built.terms(*handed)["nckd"].item() == approx(alone.terms(*handed_alone)["nckd"].item())
    assert built.needs_for(built.params).batch == ("epoch",)
    again = validated(SP.Params, built.params.of_run(), "method 'sp'")
    assert again == built.params


def test_without_a_kd_term_the_teachers_logits_are_not_read():
    for method in (AT, SP, CRD):
        needs = method.needs_for(method.Params(kd_term="none"))
        assert "logits" in needs.student and "logits" not in needs.teacher and needs.teacher


def test_a_remark_names_the_term():
    said = [
        NST.caveat_for(NST.Params(**chosen)) for chosen in ({}, {"alpha": 0}, {"kd_term": "none"}, {"kd_term": "dkd"})
    ]
    assert said == ["+ KD", "", "", "+ dkd"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"kd_term": "lskt"}, "unknown KD term 'lskt'; did you mean 'lskd'"),
        ({"kd_term": "vid"}, "unknown KD term 'vid'"),
        ({"kd_term": 3}, "at: kd_term: it takes kd, none, a method's name or"),
        ({"kd_term": {"dkd": {}, "ka": {}}}, "it takes kd, none, a method's name or"),
        ({"kd_term": {"kd": {"tau": 2}}}, "kd is written without parameters"),
        ({"kd_term": {"dkd": {"gamma": 2}}}, "KD term dkd has no key 'gamma'"),
        ({"kd_term": {"dkd": {"beta": True}}}, "KD term dkd: beta: input should be a number"),
        ({"kd_term": "dkd", "tau": 2}, "`tau` is KD's"),
        ({"kd_term": "none", "alpha": 2}, "kd_term is none"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_what_is_refused(params, says):
    with pytest.raises(UserError) as refused:
        validated(AT.Params, params, "at")
    assert says in str(refused.value)


class Learned(Method):
    """KD on logits with a layer of its own."""

    name = "learned_on_logits"
    formula = {"ce": "CE", "learned": "mean (w·z_S − z_T)²"}
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        """None."""

    @classmethod
    def weights(cls, params):
        return {"ce": 1.0, "learned": 1.0}

    def setup(self, build):
        self.layer = nn.Linear(build.num_classes, build.num_classes)

    def terms(self, student, teacher, batch):
        ce = nn.functional.cross_entropy(student.logits, batch.labels)
        self.computed_in = self.precision
        return {"ce": ce, "learned": (self.run(self.layer, student.logits) - teacher.logits).square().mean()}


def test_a_terms_own_modules_train_with_the_method_in_its_precision():
    built, *handed = case(AT, kd_term="learned_on_logits")
    assert {"other.layer.weight", "other.layer.bias"} == {name for name, _ in built.named_parameters()}
    built.precision = torch.bfloat16
    weighted_sum(built, built.terms(*handed)).backward()
    assert all(p.grad is not None and p.grad.any() for p in built.parameters())
    assert built.other.computed_in is torch.bfloat16


PARAMS = {"at": {"kd_term": "dkd"}, "sp": {"kd_term": {"ka_dtd": {"tau0": 3}}}, "crd": {"kd_term": "none"}}


def test_alone_as_in_a_cohort(tmp_path):
    group = runs(*PARAMS, params=PARAMS)
    (cohort,) = cohorts(group, Store(tmp_path / "together"))
    together = train(tmp_path / "together", cohort)
    for run in group:
        assert outcome(train(tmp_path / run.method, [run])[run.method]) == outcome(together[run.method])


def test_results_rest_on_the_term_that_they_have_and_on_no_other():
    present = Present(REGISTRY)
    plain, chosen = (
        set(present.basis(runs("at", params=params)[0], "", None, None).sources)
        for params in ({}, {"at": {"kd_term": "ka_dtd"}})
    )
    assert chosen - plain == {"kdbench_methods.ka_dtd", "kdbench_methods.dtd", "kdbench_methods.adjustment"}


@pytest.mark.parametrize("answer", [None, SystemExit(0), RuntimeError("broken")], ids=["None", "exit", "error"])
def test_a_broken_method_of_another_plugin_does_no_harm(answer):
    class Broken(Method):
        name = "broken"

        @classmethod
        def needs_for(cls, params):
            if answer:
                raise answer

    known = methods_on_logits()
    assert "broken" not in known and "dkd" in known
    assert AT.Params(kd_term="dkd").other.method is known["dkd"]
