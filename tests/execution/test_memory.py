"""A cohort that does not fit into memory goes on in parts; a run that does not fit alone is recorded as failed."""

import pytest
import torch

from kdbench.execution import memory
from kdbench.store.store import Store
from kdbench.training.step import EagerStep
from tests.training.support import light_runs as runs
from tests.training.support import outcome, train

WORDS = "CUDA out of memory. Tried to allocate 20.00 GiB."


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """Going through all that other tests have left takes longer than these."""
    monkeypatch.setattr(memory.gc, "collect", lambda: 0)


class _Small(EagerStep):
    """A device with room for so many members; `batches` are trained before it overflows."""

    room = 2
    batches = 0
    sizes: list[int]

    def __init__(self, work):
        super().__init__(work)
        self._size, self._left = len(work.members), self.batches
        self.sizes.append(self._size)

    def __call__(self, epoch, step):
        if self._size > self.room:
            self._left -= 1
            if self._left < 0:
                raise torch.OutOfMemoryError(WORDS)
        return super().__call__(epoch, step)


def small(monkeypatch, **limits):
    """Cohorts train on a small device, all but teachers; the sizes that were tried."""
    chosen = type("Chosen", (_Small,), {**limits, "sizes": []})

    def make_step(work, device, lanes):
        teachers = [member for member in work.members if member.run.role == "teacher"]
        return EagerStep(work) if teachers else chosen(work)

    monkeypatch.setattr("kdbench.training.cohort.make_step", make_step)
    return chosen.sizes


def test_split_until_it_fits(tmp_path, monkeypatch, caplog):
    group = runs("kd", "sp", "at", "pkt", "rkd")
    whole = train(tmp_path / "whole", group)
    sizes = small(monkeypatch, room=2)
    parts = train(tmp_path / "parts", group)
    assert sizes == [5, 3, 2, 1, 2]
    assert {m: outcome(r) for m, r in parts.items()} == {m: outcome(r) for m, r in whole.items()}
    assert f"a cohort of 5 runs does not fit into memory ({WORDS}); going on in 2 parts" in caplog.text


def test_overflow_within_an_epoch(tmp_path, monkeypatch):
    group = runs("kd", "sp", "at")
    whole = train(tmp_path / "whole", group)
    small(monkeypatch, room=1, batches=2)
    parts = train(tmp_path / "parts", group)
    assert {m: outcome(r) for m, r in parts.items()} == {m: outcome(r) for m, r in whole.items()}


def test_a_run_too_large_alone_is_recorded(tmp_path, monkeypatch):
    small(monkeypatch, room=0)
    records = train(tmp_path, runs("kd", "sp"))
    for record in records.values():
        assert record.status == "failed"
        assert record.failure.reason == f"does not fit into memory even alone: {WORDS}"
        assert Store(tmp_path).record(record.id) == record


def test_want_of_memory_while_a_member_is_built(tmp_path, monkeypatch):
    train(tmp_path, runs("student"))

    def build(*inputs):
        raise torch.OutOfMemoryError(WORDS)

    monkeypatch.setattr("kdbench.execution.trainer.Member", build)
    records = train(tmp_path, runs("dsn"))
    assert records["dsn"].failure.reason.endswith(WORDS)
