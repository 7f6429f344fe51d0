"""A member that raises or diverges leaves its cohort with a record; the others go on untouched."""

import sys

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import kdbench
from kdbench.store.files import NotWritten
from kdbench.store.store import Store
from kdbench.training.cohort import failure_of
from kdbench.training.step import GraphedStep
from tests.training.lanes import FakeLanes
from tests.training.support import light_runs as runs
from tests.training.support import outcome, train, train_interrupted, with_methods


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


class Exits(_Faulty):
    name = "exits"

    def terms(self, student, teacher, batch):
        sys.exit(0)


class ExitsInSetup(_Faulty):
    name = "exits_in_setup"

    def setup(self, build):
        sys.exit(0)


class _Exiting(nn.Module):
    def forward(self, images):
        sys.exit(0)


class ExitsInDeploy(_Faulty):
    """Trains, and exits in the first evaluation."""

    name = "exits_in_deploy"

    def terms(self, student, teacher, batch):
        loss = cross_entropy(student.logits, batch.labels)
        return {"ce": loss, "odd": 0 * loss}

    def deploy(self, student):
        return _Exiting()


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


class _WithTeacher(_Faulty):
    needs = kdbench.Needs(teacher=("logits", "stages"), batch=("epoch", "index"))

    def terms(self, student, teacher, batch):
        loss = cross_entropy(student.logits, batch.labels)
        return {"ce": loss, "odd": 0 * loss}


class Overwrites(_WithTeacher):
    """Changes all that members share."""

    name = "overwrites"

    def terms(self, student, teacher, batch):
        terms = super().terms(student, teacher, batch)
        teacher.logits.div_(4)
        teacher.stages[0].zero_()
        batch.epoch.add_(1)
        batch.index.zero_()
        batch.labels.zero_()
        return terms


class OverwritesAndRaises(_WithTeacher):
    name = "overwrites_and_raises"

    def terms(self, student, teacher, batch):
        teacher.logits.zero_()
        raise RuntimeError("out of ideas")


class OverwritesInBackward(_WithTeacher):
    name = "overwrites_in_backward"

    def terms(self, student, teacher, batch):
        terms = super().terms(student, teacher, batch)
        terms["ce"].register_hook(lambda gradient: teacher.logits.zero_() and None)
        return terms


class KeepsTeacher(_WithTeacher):
    name = "keeps_teacher"

    def setup(self, build):
        build.teacher.requires_grad_(True)
        self.inner = nn.Sequential(build.teacher.train().head)


class KeepsStudent(_WithTeacher):
    name = "keeps_student"

    def setup(self, build):
        build.train_labels.zero_()
        self.own = build.student


SPOILERS = {
    "overwrites": "a step overwrites the batch's labels, the batch's index, the batch's epoch, the teacher's logits, "
    "the teacher's stages, which all methods of a cohort share",
    "overwrites_and_raises": "a step overwrites the teacher's logits, which all methods of a cohort share",
    "overwrites_in_backward": "a step overwrites the teacher's logits, which all methods of a cohort share",
    "keeps_teacher": "the method keeps a part of the teacher as its submodule 'inner.0'",
    "keeps_student": "the method keeps a part of the student as its submodule 'own'",
}


class Unstorable(_Faulty):
    """Its state is no tensor."""

    name = "unstorable"

    def terms(self, student, teacher, batch):
        loss = cross_entropy(student.logits, batch.labels)
        return {"ce": loss, "odd": 0 * loss}

    def get_extra_state(self):
        return "a word"

    def deploy(self, student):
        return _Deployed(student)


class _Deployed(nn.Sequential):
    def get_extra_state(self):
        return "a word"


class _Plugin:
    @kdbench.hookimpl
    def kdbench_methods(self):
        faulty = [Raises, Exits, ExitsInSetup, ExitsInDeploy, Diverges, BadGradient, Misnames, Unstorable]
        return [*faulty, Overwrites, OverwritesAndRaises, OverwritesInBackward, KeepsTeacher, KeepsStudent]


FAULTY = ("raises", "exits", "diverges", "bad_gradient", "misnames")


def test_others_go_on(tmp_path, monkeypatch):
    with_methods(monkeypatch, _Plugin())
    alone = train(tmp_path / "alone", runs("student"))["student"]
    records = train(tmp_path / "all", runs(*FAULTY, "student"))
    assert outcome(records["student"]) == outcome(alone)
    assert records["raises"].status == records["misnames"].status == records["exits"].status == "failed"
    assert "the method calls sys.exit(0)" in records["exits"].failure.reason
    assert records["diverges"].status == records["bad_gradient"].status == "diverged"
    store = Store(tmp_path / "all")
    assert all(store.record(record.id) == record for record in records.values())


def test_a_method_that_exits_where_it_is_built_or_evaluated_fails_alone(tmp_path, monkeypatch):
    with_methods(monkeypatch, _Plugin())
    records = train(tmp_path, runs("exits_in_setup", "exits_in_deploy", "student"))
    assert records["student"].status == "done"
    for name in ("exits_in_setup", "exits_in_deploy"):
        assert records[name].status == "failed"
        assert "the method calls sys.exit(0), at test_faults.py:" in records[name].failure.reason


def test_records_say_why(tmp_path, monkeypatch):
    with_methods(monkeypatch, _Plugin())
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


@pytest.mark.parametrize("captured", [False, True])
def test_what_is_shared_is_whole_for_the_others(tmp_path, monkeypatch, captured):
    with_methods(monkeypatch, _Plugin())
    alone = train(tmp_path / "alone", runs("kd"))["kd"]
    if captured:
        step = lambda work, device, count: GraphedStep(work, FakeLanes())  # noqa: E731
        monkeypatch.setattr("kdbench.training.cohort.make_step", step)
    records = train(tmp_path / "all", runs(*SPOILERS, "kd"))
    assert outcome(records.pop("kd")) == outcome(alone)
    assert {name: record.status for name, record in records.items()} == dict.fromkeys(SPOILERS, "failed")
    for name, reason in SPOILERS.items():
        assert reason in records[name].failure.reason


def test_a_state_that_cannot_be_stored_fails_its_member_alone(tmp_path, monkeypatch):
    with_methods(monkeypatch, _Plugin())
    unstorable, other = group = runs("unstorable", "student")
    alone = train(tmp_path / "alone", [other])["student"]
    records = train(tmp_path / "at the end", group)
    assert outcome(records["student"]) == outcome(alone)
    assert records["unstorable"].status == "failed" and records["unstorable"].weights_sha256 is None
    assert "'str' object has no attribute" in records["unstorable"].failure.reason
    train_interrupted(tmp_path / "stopped", group, stop_after=2)
    assert Store(tmp_path / "stopped").record(unstorable.id).status == "failed"
    assert outcome(train(tmp_path / "stopped", [other])["student"]) == outcome(alone)


def test_a_disk_that_refuses_is_no_fault_of_a_member(tmp_path, monkeypatch):
    def refuse(*inputs):
        raise NotWritten("no room")

    monkeypatch.setattr("kdbench.execution.trainer.save_checkpoint", refuse)
    (run,) = runs("student")
    with pytest.raises(NotWritten):
        train_interrupted(tmp_path, [run], stop_after=2)
    assert Store(tmp_path).record(run.id) is None


def test_a_method_without_a_file_has_no_place():
    names = {"__name__": "typed"}
    exec("import kdbench\nclass Typed(kdbench.Method):\n    name = 'typed'", names)
    assert failure_of(ValueError("no"), 1, names["Typed"]).reason == "ValueError: no"
