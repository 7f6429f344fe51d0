"""The bar of all epochs, which is full when nothing is left."""

import io

from rich.console import Console

from kdbench.cells import title
from kdbench.cli.progress import MOST_ROWS, LiveProgress
from kdbench.cli.remaining import Remaining
from kdbench.plugins import load_plugins
from kdbench.store.records import Epoch
from tests.report.fabricate import record
from tests.training.support import runs


def test_epochs_of_before_and_those_never_reached_count():
    """A run of four epochs that goes on behind the second, and one of four that fails before its first ends."""
    registry, out = load_plugins(), io.StringIO()
    resumed, failing = (
        run.model_copy(update={"recipe": run.recipe.model_copy(update={"epochs": 4})}) for run in runs("student", "kd")
    )
    console = Console(file=out, force_terminal=True, width=80)
    with LiveProgress(console, registry, _remaining([resumed, failing])) as progress:
        for run in (resumed, failing):
            progress.kdbench_run_started(run)
        drawn = []
        for epoch in (3, 4):
            told = Epoch(epoch=epoch, lr=0.1, loss=1.0, terms={}, test_top1=50.0, test_loss=1.0)
            progress.kdbench_epoch_ended(resumed, told)
            drawn.append(_bar(progress))
        progress.kdbench_run_ended(failing, record(failing, registry))
        drawn.append(_bar(progress))
    assert drawn == ["3/8", "4/8", "8/8"]


def test_of_thousands_of_runs_some_have_a_line_each_and_others_come_in_their_place():
    registry, console = load_plugins(), Console(file=io.StringIO(), force_terminal=True, width=80)
    (base,) = runs("student")
    many = [base.model_copy(update={"seed": seed}) for seed in range(MOST_ROWS + 1)]
    epochs = base.recipe.epochs
    with LiveProgress(console, registry, _remaining(many)) as progress:

        def shown():
            return [task.description.rpartition(" ")[2] for task in progress._progress.tasks[1:]]

        for run in many:
            progress.kdbench_run_started(run)
        assert shown() == [str(seed) for seed in range(MOST_ROWS)]
        progress.kdbench_run_ended(many[0], record(many[0], registry))
        told = Epoch(epoch=1, lr=0.1, loss=1.0, terms={}, test_top1=50.0, test_loss=1.0)
        progress.kdbench_epoch_ended(many[-1], told)
        assert shown() == [str(seed) for seed in range(1, MOST_ROWS + 1)]
        assert _bar(progress) == f"{epochs + 1}/{epochs * len(many)}"


def test_how_runs_ended_stands_above_the_bars_as_soon_as_they_are_drawn():
    registry, out = load_plugins(), io.StringIO()
    group = runs("student", "kd")
    console = Console(file=out, force_terminal=True, color_system=None, width=200)
    with LiveProgress(console, registry, _remaining(group)) as progress:
        for run in group:
            progress.kdbench_run_started(run)
        for run in group:
            progress.kdbench_run_ended(run, record(run, registry))
        console.print("said meanwhile")
        text = out.getvalue()
        places = [text.index(f"{title(run, registry)}: ") for run in group]
        assert [*places, text.index("said meanwhile")] == sorted([*places, text.index("said meanwhile")])
        assert "all epochs" in text[text.index("said meanwhile") :]
        progress.kdbench_run_started(group[0])
        progress.kdbench_run_ended(group[0], record(group[0], registry))
    assert out.getvalue().count(f"{title(group[0], registry)}: ") == 2, "the last comes with the end of the display"


def _remaining(group):
    return Remaining({run.id: 0.0 for run in group}, {run.id: run.recipe.epochs for run in group})


def _bar(progress: LiveProgress) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(progress._progress.make_tasks_table([progress._progress.tasks[0]]))
    return console.file.getvalue().split()[-1]
