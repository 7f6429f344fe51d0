"""A member that raises or diverges leaves its cohort with a record; the others go on untouched."""

import torch
from torch.nn.functional import cross_entropy

import kdbench
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from kdbench.training.cohort import failure_of
from tests.training.support import outcome, runs, train


class _Faulty(kdbench.Method):
    formula = {"ce": "CE", "odd": "0"}
    needs = kdbench.Needs(batch=("epoch",))

    @classmethod
    def weights(cls, params):
        return {"ce": 1.0, "odd": 1.0}


class Raises(_Faulty):
    name = "raises"

    def terms(self, student, teacher, batch):
        raise RuntimeError("out of ideas")


class Diverges(_Faulty):
    """Its second epoch's loss is not finite."""

    name = "diverges"

    def terms(self, student, teacher, batch):
        loss = cross_entropy(student.logits, batch.labels)
        return {"ce": loss, "odd": loss / (2.0 - batch.epoch)}


class BadGradient(_Faulty):
    """A finite loss with a gradient that is not: the square root of zero."""

    name = "bad_gradient"

    def terms(self, student, teacher, batch):
        zero = (student.logits - student.logits.detach()).square().sum()
        return {"ce": cross_entropy(student.logits, batch.labels), "odd": torch.sqrt(zero)}


class Misnames(_Faulty):
    name = "misnames"

    def terms(self, student, teacher, batch):
        return {"cross_entropy": cross_entropy(student.logits, batch.labels)}


class _Plugin:
    @kdbench.hookimpl
    def kdbench_methods(self):
        return [Raises, Diverges, BadGradient, Misnames]


FAULTY = ("raises", "diverges", "bad_gradient", "misnames")


def test_others_go_on(tmp_path, monkeypatch):
    _install(monkeypatch)
    alone = train(tmp_path / "alone", runs("student"))["student"]
    records = train(tmp_path / "all", runs(*FAULTY, "student"))
    assert outcome(records["student"]) == outcome(alone)
    assert records["raises"].status == records["misnames"].status == "failed"
    assert records["diverges"].status == records["bad_gradient"].status == "diverged"
    store = Store(tmp_path / "all")
    assert all(store.record(record.id) == record for record in records.values())


def test_records_say_why(tmp_path, monkeypatch):
    _install(monkeypatch)
    records = train(tmp_path, runs(*FAULTY))
    assert records["raises"].failure.reason.startswith("RuntimeError: out of ideas, at test_faults.py:")
    assert records["raises"].failure.reason.endswith(': `raise RuntimeError("out of ideas")`')
    assert records["raises"].failure.epoch == 1
    assert 'raise RuntimeError("out of ideas")' in records["raises"].failure.traceback
    assert "terms gave ['cross_entropy'], but weights names ['ce', 'odd']" in records["misnames"].failure.reason
    assert records["diverges"].failure.epoch == 2
    assert records["diverges"].failure.reason == "loss term 'odd' was not finite in batch 0"
    assert len(records["diverges"].curve) == 1
    assert records["bad_gradient"].failure.epoch == 1
    # The first update spoils the weights, and the second batch's loss shows it.
    assert records["bad_gradient"].failure.reason == "loss term 'ce' was not finite in batch 1"


def test_a_method_without_a_file_has_no_place():
    names = {"__name__": "typed"}
    exec("import kdbench\nclass Typed(kdbench.Method):\n    name = 'typed'", names)
    assert failure_of(ValueError("no"), 1, names["Typed"]).reason == "ValueError: no"


def _install(monkeypatch):
    """A registry with the faulty methods for this test alone."""
    load_plugins.cache_clear()
    registry = load_plugins()
    registry._manager.register(_Plugin(), name="faulty")
    from kdbench.plugins import Plugin, Registry

    rebuilt = Registry(registry._manager, [*registry.plugins, Plugin("faulty", "test", "0")])
    monkeypatch.setattr("tests.training.support.load_plugins", lambda: rebuilt)
    load_plugins.cache_clear()
