"""`kdbench verify`: what it prints, and how it exits."""

import json
import re

import pytest

from kdbench.checks.findings import Finding
from kdbench.checks.suite import CHECKS, Conformance
from tests.checks.test_suite import PAIR, PLUGINS
from tests.cli.support import kdbench

JUDGE = Conformance.verify
#: (method, pairs) → what was found, which takes seconds and is the same for every test.
FOUND = {}


def judge(suite, name):
    key = name, suite._pairs
    if key not in FOUND:
        FOUND[key] = JUDGE(suite, name)
    return FOUND[key]


@pytest.fixture(autouse=True)
def each_judged_once(monkeypatch):
    monkeypatch.setattr(Conformance, "verify", judge)


def verify(*words):
    return verify_on(PAIR, *words)


def verify_on(pairs, *words):
    return kdbench("verify", *words, *(word for file in PLUGINS for word in ("--plugin", file)), "--pairs", pairs)


def cells(out):
    """Check → marks, of the first table."""
    rows = (line.split() for line in out.split("\n\n")[0].splitlines()[2:])
    return {check: marks for check, *marks in rows}


def test_a_good_method_passes():
    result = verify("good")
    assert result.code == 0
    assert cells(result.out)["gradients"] == ["ok"] and cells(result.out)["teacher_free"] == ["-"]
    assert "does not apply to this method" in result.out
    assert re.fullmatch(r"good: ok, \d+\.\d s\n", result.err)


def test_a_failure_has_its_reason_and_a_line_of_advice():
    result = verify("good", "item")
    assert result.code == 1
    assert cells(result.out)["host_sync"] == ["ok", "FAIL"] and cells(result.out)["compile"] == ["ok", "?"]
    told = result.out.split("\n\n")[-1].splitlines()
    assert told[0] == f"item: host_sync failed on {PAIR}"
    assert told[1].startswith("  reason: `Tensor.item` reads a value on the host, at broken.py:")
    assert told[2].startswith("  advice: keep values in tensors")
    assert "item: 1 failed" in result.err


def test_json_has_every_finding():
    result = verify("good", "wrongwidth", "--json")
    findings = json.loads(result.out)
    assert result.code == 1
    assert all(f.keys() == {"method", "check", "pair", "status", "reason", "advice"} for f in findings)
    by_place = {(f["method"], f["check"]): f for f in findings}
    assert by_place["good", "state"] == {
        "method": "good", "check": "state", "pair": PAIR, "status": "passed", "reason": "", "advice": ""
    }  # fmt: skip
    assert by_place["wrongwidth", "step"]["status"] == "failed"
    assert by_place["wrongwidth", "state"]["status"] == "not reached"


def test_one_failure_on_many_pairs_is_told_once():
    result = verify_on(f"{PAIR},deeper:resnet8", "idle", "sparemodule")
    assert result.code == 2 and "unknown method 'idle'" in result.err
    result = verify_on(f"{PAIR},deeper:resnet8", "sparemodule")
    assert result.out.count("'spare.weight' gets no gradient") == 1
    assert f"sparemodule: gradients failed on {PAIR} and 1 more pairs" in result.out


def test_tables_fit_the_terminal(monkeypatch):
    def passed(_, name):
        parts = (name, f"{name}/pre-stage") if name == "with_heads" else (name,)
        return [Finding(part, check, PAIR, "passed") for part in parts for check in CHECKS]

    monkeypatch.setattr(Conformance, "verify", passed)
    monkeypatch.setenv("COLUMNS", "50")
    result = verify("good", "with_heads", "teacher_free")
    tables = [block for block in result.out.split("\n\n") if block.count("\n") > 10]
    assert len(tables) > 1 and max(map(len, result.out.splitlines())) <= 50
    assert all(name in result.out for name in ("good", "with_heads/pre-stage", "teacher_free"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fitnets",), "did you mean 'fitnet'?"),
        (("kd", "--pairs", "resnet14"), "a pair is written teacher:student"),
        (("kd", "--pairs", "resnet14:resnet9"), "unknown architecture 'resnet9'"),
        (("kd", "--plugin", "nowhere.py"), "plugin file nowhere.py"),
        (("kd", "--all"), "--all judges all methods, so it takes no names"),
    ],
)
def test_a_users_mistake_is_a_sentence(words, says):
    result = kdbench("verify", *words)
    assert result.code == 2 and says in result.err and not result.out


@pytest.mark.parametrize("words", [(), ("--all",)])
def test_without_names_all_methods_are_judged(monkeypatch, words):
    judged = []
    monkeypatch.setattr(Conformance, "verify", lambda self, name: judged.append(name) or [])
    assert kdbench("verify", *words).code == 0
    assert judged == [row["name"] for row in json.loads(kdbench("list", "methods", "--json").out)]
