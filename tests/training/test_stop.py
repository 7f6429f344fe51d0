"""A wish to stop is heard between batches of training and of evaluation, and nothing is trained twice for it."""

import pytest

from kdbench.data import batches
from kdbench.store.store import Store
from kdbench.training.checkpoint import read_progress
from tests.training.support import light_runs, outcome, train, train_interrupted

GROUP = light_runs("student", "byot")


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the group comes to if nobody asks for a stop."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(batches, "EVAL_BATCH", 4)
        return train(tmp_path_factory.mktemp("unbroken"), GROUP)


@pytest.mark.parametrize("asked", range(1, 19))
def test_stopped_anywhere_and_continued_gives_the_same_bits(expected, tmp_path, monkeypatch, asked):
    monkeypatch.setattr(batches, "EVAL_BATCH", 4)
    train_interrupted(tmp_path, GROUP, stop_after=asked)
    records = train(tmp_path, GROUP)
    again = {run.method: Store(tmp_path).record(run.id) for run in GROUP}
    assert {key: outcome(record) for key, record in again.items()} == {
        key: outcome(record) for key, record in expected.items()
    }
    assert records.keys() <= expected.keys()


def test_a_stop_in_evaluation_leaves_all_members_at_the_end_of_the_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "EVAL_BATCH", 4)
    # Three training batches, then both members' first evaluation batch and one member's second.
    train_interrupted(tmp_path, GROUP, stop_after=6)
    store = Store(tmp_path)
    assert [read_progress(store.checkpoint_path(run.id), run.id).position for run in GROUP] == [(1, 3), (1, 3)]
