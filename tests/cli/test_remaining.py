"""What is said of the time that is left."""

from kdbench.cli.remaining import Remaining
from tests.training.support import runs

RUNS = runs("student", "kd")


def estimate(times, work, epochs=4):
    """An estimate for runs of `epochs` epochs, whose clock shows `times`, and the runs."""
    found = [run.model_copy(update={"recipe": run.recipe.model_copy(update={"epochs": epochs})}) for run in RUNS]
    clock = iter(times)
    by_id = {run.id: share for run, share in zip(found, work, strict=False)}
    return Remaining(by_id, dict.fromkeys(by_id, epochs), lambda: next(clock)), found


def test_operations_that_are_left_take_as_long_as_those_that_are_done():
    remaining, (cheap, dear) = estimate([0, 10, 20], [1, 3])
    assert remaining.said() is None
    remaining.run_started(cheap)
    assert remaining.said() is None
    remaining.epoch_ended(cheap, 1)
    assert remaining.said() == "about 2 min left"  # 15 of 16 parts, at 10 s a part
    remaining.epoch_ended(dear, 1)
    assert remaining.said() == "about 60 s left"  # 12 of 16 parts, at 4 in 20 s


def test_runs_that_have_ended_and_epochs_of_before_are_not_left():
    remaining, (first, second) = estimate([0, 10, 10], [1, 1])
    remaining.run_started(first)
    remaining.epoch_ended(first, 3)
    assert remaining.said() == "about 50 s left"
    remaining.run_ended(second)
    assert remaining.said() == "about 10 s left"
    remaining.run_ended(first)
    assert remaining.said() is None


def test_what_is_said_never_rises():
    remaining, (run, _) = estimate([0, 10, 40, 43], [1])
    remaining.run_started(run)
    for epoch, said in ((1, "about 30 s left"), (2, "over 30 s left"), (3, "about 14 s left")):
        remaining.epoch_ended(run, epoch)
        assert remaining.said() == said
