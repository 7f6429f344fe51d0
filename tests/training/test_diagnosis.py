"""What methods tell of single samples, and that asking changes nothing."""

import torch

from kdbench.data.dataset import Dataset, DatasetInfo
from kdbench.data.split import Split
from kdbench.plugins import load_plugins
from kdbench.supervised import Supervised
from kdbench.training import cohort
from kdbench.training.diagnosis import diagnoses, probe
from tests.training.support import runs, train


def dataset(size):
    split = Split(torch.zeros(size, 2, 2, 3, dtype=torch.uint8), torch.zeros(size, dtype=torch.int64))
    info = DatasetInfo("made up", 1, 2, size, size)
    return Dataset(info, ("only",), split, split, (0.5,) * 3, (0.5,) * 3)


def test_the_probe_is_one_batch_spread_over_the_training_set():
    found = probe(dataset(50_000))
    assert len(found) == 500 and found[0] == 0 and found[-1] == 49_900 and len(found.unique()) == 500
    assert probe(dataset(7)).tolist() == list(range(7))


def test_asking_changes_nothing_that_is_trained(tmp_path, monkeypatch):
    asked = train(tmp_path / "asked", runs("dskd"))["dskd"]
    monkeypatch.setattr(cohort, "diagnoses", lambda method: False)
    silent = train(tmp_path / "silent", runs("dskd"))["dskd"]
    assert asked.weights_sha256 == silent.weights_sha256
    assert asked.curve[-1].diagnostics and not silent.curve[-1].diagnostics
    assert [epoch.test_loss for epoch in asked.curve] == [epoch.test_loss for epoch in silent.curve]


def test_a_method_that_says_nothing_is_not_asked(tmp_path):
    (run,) = runs("kd")
    record = train(tmp_path, [run])["kd"]
    assert all(epoch.diagnostics == {} for epoch in record.curve)
    assert not diagnoses(Supervised)


def test_a_method_is_asked_without_gradients(tmp_path, monkeypatch):
    asked = []

    def diagnose(method, student, teacher, batch):
        asked.append((torch.is_grad_enabled(), student.logits.requires_grad, teacher.logits.requires_grad))
        return {}

    monkeypatch.setattr(load_plugins().method("dskd"), "diagnose", diagnose)
    train(tmp_path, runs("dskd"))
    assert set(asked) == {(False, False, False)}
