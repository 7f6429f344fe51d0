"""Each check finds what is wrong, and only that; methods with nothing wrong pass."""

from pathlib import Path

import pytest

from kdbench.checks.findings import Finding
from kdbench.checks.suite import CHECKS, Conformance, paper_pairs
from kdbench.plugins import load_plugins
from kdbench.training.diagnosis import diagnoses
from tests import networks
from tests.gpu import CUDA, needs_gpu

FILE = Path(__file__).with_name("broken.py")
#: With networks of few layers: what is wrong shows on any pair.
PLUGINS = (FILE, networks.FILE)
REGISTRY = load_plugins(PLUGINS)
PAIR = "deeper:shallower"
BROKEN = {name: method for name in REGISTRY.names("method") if hasattr(method := REGISTRY.method(name), "expected")}


@needs_gpu
@pytest.mark.parametrize("name", load_plugins().usable("method"))
def test_built_in_methods_pass_on_a_gpu(name):
    assert not failed(Conformance(REGISTRY, paper_pairs(REGISTRY, ["resnet8:resnet8"]), CUDA).verify(name))


@pytest.fixture(scope="module")
def suite():
    return Conformance(REGISTRY, paper_pairs(REGISTRY, [PAIR]))


def failed(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.reason for finding in findings if finding.status == "failed"}


#: Checks that trace a method by operators without data, which takes longer than all others together.
TRACING = ("gpu", "compile")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_method_fails_its_check_and_no_other(suite, name, monkeypatch):
    """Of what the tracing checks find nothing in, every tenth method is given to them, beside the good ones."""
    if BROKEN[name].expected not in TRACING and sorted(BROKEN).index(name) % 10:
        for check in TRACING:
            monkeypatch.delitem(CHECKS, check)
    findings = suite.verify(name)
    assert failed(findings).keys() == {BROKEN[name].expected}
    assert BROKEN[name].says in failed(findings)[BROKEN[name].expected]
    assert all(finding.advice for finding in findings if finding.status == "failed")


def test_every_check_has_a_broken_method():
    assert {method.expected for method in BROKEN.values()} == set(CHECKS)


@pytest.mark.parametrize("name", ["good", "teacher_free", "with_heads", "before_relu"])
def test_a_good_method_passes(suite, name):
    assert not failed(suite.verify(name))


@pytest.mark.parametrize("name", ["student", "kd", "dskd", "crd", "simkd", "mtkd_ssr"])
def test_built_in_methods_pass(suite, name):
    findings = suite.verify(name)
    assert not failed(findings)
    method = REGISTRY.method(name)
    inapplicable = {"teacher_free"} if diagnoses(method) else {"teacher_free", "diagnose"}
    inapplicable |= {"soft_labels"} if method.needs_for(method.Params()).class_indices else set()
    assert {f.check for f in findings if f.status == "passed"} >= set(CHECKS) - inapplicable


def test_the_pairs_are_those_of_the_first_table():
    pairs = [str(pair) for pair in paper_pairs(REGISTRY)]
    assert len(pairs) == 7 and "resnet32x4:ShuffleV2" in pairs


def test_every_pair_is_judged_and_the_costly_checks_on_one(suite):
    pairs = paper_pairs(REGISTRY, [PAIR, "deeper:resnet8"])
    findings = Conformance(REGISTRY, pairs).verify("good")
    judged = {check: {f.pair for f in findings if f.check == check} for check in CHECKS}
    assert judged["gradients"] == {PAIR, "deeper:resnet8"}
    assert judged["compile"] == judged["state"] == judged["bf16"] == {PAIR}


def test_a_broken_method_does_no_harm_to_the_next(suite):
    assert failed(suite.verify("changestheteacher"))
    assert not failed(suite.verify("good"))


def test_what_cannot_be_judged_is_said(suite):
    statuses = {f.check: (f.status, f.reason) for f in suite.verify("wrongwidth")}
    assert statuses["state"] == ("not reached", "see step")
    assert {f.check: f.status for f in suite.verify("pythonnoise")}["compile"] == "opted out"
    silent = {f.check: (f.status, f.reason) for f in suite.verify("teacher_free")}
    assert silent["diagnose"] == ("not applicable", "the method does not override `diagnose`")


def test_a_pre_stage_is_judged_by_itself(suite):
    findings = suite.verify("brokenprestage")
    assert {f.method for f in findings if f.status == "failed"} == {"brokenprestage/pre-stage"}
