"""Checkpoints: the newest that verifies is used."""

import errno
import logging
from pathlib import Path

import pytest
import safetensors.torch
from torch import nn
from torch.nn.functional import cross_entropy

import kdbench
from kdbench.inputs.errors import UserError
from kdbench.store.records import Damaged, OtherFormat
from kdbench.store.store import Store, checkpoint_versions
from kdbench.training.checkpoint import newest_checkpoint, read_checkpoint, read_progress
from tests.training.support import light_runs as runs
from tests.training.support import outcome, train, train_interrupted, with_methods

(RUN,) = runs("student")


@pytest.fixture
def versions(tmp_path):
    """The newest checkpoint of an interrupted run, after 4 batches, and the one before, after 2 (an epoch has 3)."""
    train_interrupted(tmp_path, [RUN], stop_after=2)
    train_interrupted(tmp_path, [RUN], stop_after=2)
    return checkpoint_versions(Store(tmp_path).checkpoint_path(RUN.id))


def spoil(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        data[-9] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(data.replace(b'\\"step\\":', b'\\"stop\\":'))


def test_the_last_two_are_kept(versions):
    newest, previous = (read_checkpoint(path, RUN.id).progress.position for path in versions)
    assert previous == (1, 2) and newest > previous


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped", "header"])
def test_a_damaged_one_is_said_and_the_one_before_is_used(versions, tmp_path, tmp_path_factory, caplog, how):
    newest, previous = versions
    spoil(newest, how)
    with caplog.at_level(logging.WARNING):
        assert newest_checkpoint(newest, RUN.id).path == previous
    assert f"checkpoint {newest} is damaged" in caplog.text
    unbroken = train(tmp_path_factory.mktemp("unbroken"), [RUN])["student"]
    assert outcome(train(tmp_path, [RUN])["student"]) == outcome(unbroken)
    assert [path.name for path in (tmp_path / "damaged").iterdir()] == [newest.name]


def test_without_any_that_verifies_the_run_starts_anew(versions, tmp_path, tmp_path_factory):
    for path in versions:
        spoil(path, "flipped")
    assert read_progress(versions[0], RUN.id).position == (1, 0)
    unbroken = train(tmp_path_factory.mktemp("unbroken"), [RUN])["student"]
    assert outcome(train(tmp_path, [RUN])["student"]) == outcome(unbroken)


def test_one_that_may_not_be_read_is_no_damage(versions, monkeypatch):
    def refuse(path, *mode):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # permissions do not stop root
    with pytest.raises(UserError, match=f"checkpoint {versions[0]} cannot be read .* mend its permissions"):
        newest_checkpoint(versions[0], RUN.id)


def test_one_that_its_owner_moves_meanwhile_is_no_damage(versions, monkeypatch, caplog):
    newest, previous = versions
    newest.unlink()
    monkeypatch.setattr(Path, "exists", lambda path: True)  # it was still there
    assert newest_checkpoint(newest, RUN.id).path == previous and not caplog.text


class Tied(kdbench.Method):
    """Has one module under two names, and deploys both."""

    name = "tied"
    formula = {"ce": "CE"}
    needs = kdbench.Needs(student=("embedding",))
    kept = ("heads",)

    @classmethod
    def weights(cls, params):
        return {"ce": 1.0}

    def setup(self, build):
        one = nn.Linear(build.student_shapes.embedding, build.num_classes)
        self.heads = nn.ModuleList([one, one])

    def terms(self, student, teacher, batch):
        logits = sum(self.run(head, student.embedding) for head in self.heads)
        return {"ce": cross_entropy(logits, batch.labels)}

    def deploy(self, student):
        return TiedNetwork(student, self.heads)


class TiedNetwork(nn.Module):
    def __init__(self, student, heads):
        super().__init__()
        self.student, self.heads = student, heads

    def forward(self, images):
        return sum(head(self.student.outputs(images).embedding) for head in self.heads)


class _Plugin:
    @kdbench.hookimpl
    def kdbench_methods(self):
        return [Tied]


def test_a_module_with_two_names_is_stored_and_comes_back(tmp_path, monkeypatch):
    with_methods(monkeypatch, _Plugin())
    group = runs("tied", "student")
    unbroken = train(tmp_path / "unbroken", group)
    train_interrupted(tmp_path / "stopped", group, stop_after=2)
    resumed = train(tmp_path / "stopped", group)
    assert {name: outcome(record) for name, record in resumed.items()} == {
        name: outcome(record) for name, record in unbroken.items()
    }


def test_another_format_or_run_is_refused(versions, tmp_path):
    safetensors.torch.save_file({}, tmp_path / "old.safetensors", {"progress": "{}"})
    with pytest.raises(OtherFormat, match="has format None, and this kdbench reads format 2"):
        read_checkpoint(tmp_path / "old.safetensors")
    with pytest.raises(Damaged, match="it belongs to run"):
        read_checkpoint(versions[0], "0" * 16)
    assert issubclass(Damaged, UserError) and issubclass(OtherFormat, UserError)
