"""Records come back from their files as they were."""

import json
import math
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from kdbench.inputs.errors import UserError
from kdbench.store.records import Epoch, dump_record
from kdbench.store.store import Store
from tests.training.support import runs, train


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return train(tmp_path_factory.mktemp("record"), runs("student"))["student"]


def test_a_record_reads_as_it_was_written(record, tmp_path):
    store = Store(tmp_path)
    store.write(record)
    assert store.record(record.id) == record
    assert store.find().records == {record.id: record}
    assert store.record("0" * 16) is None


def test_a_record_is_unpickled_as_it_was(record):
    """Epochs have a way of their own."""
    (measured,) = record.curve[:1]
    told = Epoch(**measured.model_dump() | {"test_top5": 90.0, "diagnostics": {"w": 1.0}})
    before = record.model_copy(update={"curve": (measured, told)})
    after = pickle.loads(pickle.dumps(before))
    assert after == before and dump_record(after) == dump_record(before)
    assert [type(epoch) for epoch in after.curve] == [Epoch, Epoch]
    changed = after.curve[1].model_copy(update={"epoch": 7})
    assert changed == told.model_copy(update={"epoch": 7}) and after.curve[1] == told
    with pytest.raises(ValidationError):
        after.curve[0].epoch = 7


def test_one_that_is_set_aside_meanwhile_is_not_there(record, tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(record)
    gone = store.record_path("0" * 16)
    monkeypatch.setattr(Path, "exists", lambda path: True)  # it was still there
    monkeypatch.setattr(Store, "files", lambda *place: [gone, store.record_path(record.id)])
    assert store.record(gone.stem) is None
    assert list(store.find().records) == [record.id]


def test_numbers_that_are_not_finite_survive(record, tmp_path):
    odd = Epoch(
        epoch=1,
        lr=0.1,
        loss=1.0,
        terms={},
        test_top1=1.0,
        test_loss=math.inf,
        diagnostics={"w": math.nan, "v": -math.inf},
    )
    store = Store(tmp_path)
    store.write(record.model_copy(update={"curve": (odd,)}))
    (back,) = store.record(record.id).curve
    assert back.test_loss == math.inf and math.isnan(back.diagnostics["w"]) and back.diagnostics["v"] == -math.inf

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(store.record_path(record.id).read_text(), parse_constant=refuse)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_record_is_named(record, tmp_path, damage):
    store = Store(tmp_path)
    store.write(record)
    store.record_path(record.id).write_bytes(damage)
    with pytest.raises(UserError, match=r"json is damaged .*`kdbench results repair`"):
        store.record(record.id)


def test_a_record_under_another_name_is_refused(record, tmp_path):
    store = Store(tmp_path)
    store.write(record)
    store.record_path(record.id).rename(store.record_path("f" * 16))
    with pytest.raises(UserError, match="it holds run"):
        store.record("f" * 16)


def test_top5_is_there_where_it_was_measured_and_records_without_it_are_as_they_were(record):
    def epoch(**more):
        return Epoch(epoch=1, lr=0.1, loss=1.0, terms={}, test_top1=1.0, test_loss=1.0, **more)

    def written(measured):
        return json.loads(dump_record(record.model_copy(update={"curve": (measured,)})))["curve"][0]

    assert written(epoch(test_top5=7.5))["test_top5"] == 7.5
    assert "test_top5" not in written(epoch())
