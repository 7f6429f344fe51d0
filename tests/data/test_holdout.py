"""A tenth of the training images held out, and the test set left alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdbench.data import BUILTIN_SOURCES, Digits, remember, resolve_dataset
from kdbench.data.holdout import Holdout
from kdbench.data.opened import OpenDataset
from kdbench.inputs.errors import UserError
from kdbench.store import kept
from tests.data.support import random_split, write_split

SOURCES = {source.name: source for source in BUILTIN_SOURCES}


def test_the_training_images_are_divided_and_the_test_images_left_out():
    whole, part = Digits().load(None), resolve_dataset("holdout:digits", SOURCES).load(None)
    rows = sorted(bytes(image.numpy().data) for image in torch.cat([part.train.images, part.test.images]))
    assert rows == sorted(bytes(image.numpy().data) for image in whole.train.images)
    assert (len(part.train.labels), len(part.test.labels)) == (900, 100)
    shares = part.test.labels.bincount() / whole.train.labels.bincount()
    assert ((shares - 0.1).abs() < 0.01).all()


def test_labels_stay_with_their_images():
    whole, part = Digits().load(None), resolve_dataset("holdout:digits", SOURCES).load(None)
    label = {bytes(x.numpy().data): int(y) for x, y in zip(whole.train.images, whole.train.labels, strict=True)}
    for split in (part.train, part.test):
        assert [label[bytes(x.numpy().data)] for x in split.images] == split.labels.tolist()


def test_it_is_the_same_every_time_and_is_told_from_the_whole():
    source = resolve_dataset("Holdout:DIGITS", SOURCES)
    first, again, whole = source.load(None), source.load(None), Digits().load(None)
    assert first.checksum == again.checksum != whole.checksum
    assert first.info == source.info(None) and first.info.name == "digits-holdout"
    assert source.name == "holdout:digits" and source.available(None)
    assert (first.mean, first.std, first.classes) == (whole.mean, whole.std, whole.classes)


def test_an_argument_goes_on_to_the_other_source(tmp_path):
    assert resolve_dataset(f"holdout:parquet:{tmp_path}", SOURCES).name == f"holdout:parquet:{tmp_path}"
    with pytest.raises(UserError, match="unknown dataset 'digit'; did you mean 'digits'"):
        resolve_dataset("holdout:digit", SOURCES)


@pytest.mark.parametrize("spec", ["holdout", "holdout:"])
def test_alone_it_is_no_data_set(spec):
    with pytest.raises(UserError, match="holds out images of another data set; write holdout:NAME"):
        resolve_dataset(spec, SOURCES).info(None)
    assert "as in holdout:digits" in Holdout().locations(None)


def test_too_few_images_are_refused():
    class Few(Digits):
        def info(self, data_dir):
            return replace(super().info(data_dir), train_size=9)

    with pytest.raises(UserError, match="has 9 training images; a hold-out needs at least 10"):
        Holdout().of(Few()).info(None)


def test_the_hold_outs_of_copies_have_their_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "home")
    monkeypatch.setattr(remember, "SETTLED", -60.0)
    for name in ("one", "two"):
        write_split(tmp_path / name / "train.parquet", random_split(20, 6))
        write_split(tmp_path / name / "test.parquet", random_split(5, 6))
    one, two = (resolve_dataset(f"holdout:parquet:{tmp_path / name}", SOURCES) for name in ("one", "two"))
    resolve_dataset(f"parquet:{tmp_path / 'one'}", SOURCES).load(None)
    loaded = two.load(None)
    opened = OpenDataset(one, None)
    assert opened.info.name.startswith("one@") and opened.info.checksum == loaded.checksum
    assert opened.loaded.info == opened.info and two.known(None) == loaded.info


def test_what_is_remembered_counts_where_the_data_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Digits):
        def available(self, data_dir):
            return False

    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    source = Holdout().of(Gone())
    assert source.known(None).checksum is None
    loaded = source.load(None).info
    assert source.known(None) == loaded


def test_a_source_that_says_two_names_is_refused():
    class Two(Digits):
        def info(self, data_dir):
            return replace(super().info(data_dir), name="other")

    opened = OpenDataset(Two(), None)
    assert opened.info.name == "other"
    with pytest.raises(UserError, match="data set 'other' is called 'digits' once it is loaded"):
        _ = opened.loaded
