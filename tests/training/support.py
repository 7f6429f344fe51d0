"""Runs on a data set of random pixels, small enough to train in a second."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch

from kdbench.cells import Expansion
from kdbench.data.augment import Augmentation
from kdbench.data.dataset import Dataset, make_dataset
from kdbench.data.split import Split
from kdbench.data.streamed import AnyDataset
from kdbench.execution.options import Options
from kdbench.execution.trainer import Trainer
from kdbench.grid import Grid, Row, Table
from kdbench.plugins import load_plugins
from kdbench.recipe import Recipe
from kdbench.registered.loaded import Loaded
from kdbench.registered.offers import Plugin
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.records import Record
from kdbench.store.store import Store
from kdbench.training.cohort import Interrupted
from tests import networks

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=2, batch_size=8, lr=0.05, milestones=(1,), augmentation=Augmentation(crop_padding=1, flip=True))

#: Everything that recipes gained after the first results.
GAINED = Recipe(
    epochs=3,
    batch_size=8,
    lr=0.01,
    optimizer="adamw",
    decay_norms=False,
    schedule="cosine",
    warmup_epochs=1,
    clip_norm=0.5,
    ema_decay=0.8,
    accumulate=2,
    label_smoothing=0.1,
    augmentation=Augmentation(crop_padding=1, mixup=0.8, cutmix=1.0),
)


def noise_dataset(name: str = "noise", size: int = 20, classes: int = 4, side: int = 8) -> Dataset:
    """Random images whose brightness tells the class, `size` for training and half as many to test."""
    generator = torch.Generator().manual_seed(7)

    def split(count: int) -> Split:
        labels = torch.arange(count) % classes
        images = torch.randint(0, 128, (count, side, side, 3), generator=generator) + 30 * labels[:, None, None, None]
        return Split(images.to(torch.uint8), labels)

    return make_dataset(name, tuple("abcdefgh"[:classes]), split(size), split(size // 2))


def registered() -> Registry:
    """All that is built in, and the networks of few layers."""
    return load_plugins((networks.FILE,))


def runs(
    *methods: str,
    pair: str = "resnet14:resnet8",
    seed: int = 0,
    recipe: Recipe = RECIPE,
    teacher_recipe: Recipe | None = None,
    params: Mapping[str, dict[str, object]] | None = None,
    dataset: AnyDataset | None = None,
) -> list[Run]:
    """One run a method, on noise unless a data set is given."""
    chosen = params or {}
    grid = Grid(
        name="test",
        dataset="noise",
        recipe=recipe,
        teacher_recipe=teacher_recipe or recipe,
        seeds=(seed,),
        tables=(
            Table(
                name="t", title="t", pairs=(pair,), rows=tuple(Row(method=m, params=chosen.get(m, {})) for m in methods)
            ),
        ),
    )
    cells = Expansion(grid, registered(), (dataset or noise_dataset()).info).cells
    return [run for cell in cells for run in cell.runs]


#: Those of networks of few layers, for all that networks do not matter to.
light_runs = partial(runs, pair="deeper:shallower")


class Stop:
    """Asks to stop at the n-th time of asking, counted from 1; 0 is never."""

    def __init__(self, after: int = 0):
        self._left = after

    def __call__(self) -> bool:
        self._left -= 1
        return self._left == 0


def trainer(
    folder: Path, *, stop_after: int = 0, registry: Registry | None = None, dataset: AnyDataset | None = None
) -> Trainer:
    """A trainer that writes into `folder`, on noise unless a data set is given."""
    registry = registry or registered()
    return Trainer(
        Store(folder),
        registry,
        dataset or noise_dataset(),
        Options(CPU, checkpoint_seconds=1e9, command="test"),
        stop_requested=Stop(stop_after),
        emit=registry.notify,
    )


def train(
    folder: Path, group: list[Run], *, stop_after: int = 0, dataset: AnyDataset | None = None
) -> dict[str, Record]:
    """Train what a cohort rests on, then the cohort; the records of the cohort by method."""
    store = Store(folder)
    for run in group:
        for needed in (run.teacher.trained_by if run.teacher else None, run.pre_stage):
            if needed and store.record(needed.id) is None:
                trainer(folder, dataset=dataset).train([needed])
    records = trainer(folder, stop_after=stop_after, dataset=dataset).train(group)
    return {record.run.method: record for record in records}


def train_interrupted(folder: Path, group: list[Run], *, stop_after: int, dataset: AnyDataset | None = None) -> None:
    """The same, stopped after so many batches."""
    try:
        train(folder, group, stop_after=stop_after, dataset=dataset)
    except Interrupted:
        return
    raise AssertionError("training ended before it was stopped")


def outcome(record: Record) -> tuple[object, ...]:
    """What must be equal bit for bit between two ways of making a run."""
    assert record.status == "done", record.failure
    return record.id, record.curve, record.weights_sha256, record.teacher_sha256


def with_methods(monkeypatch: pytest.MonkeyPatch, plugin: object) -> None:
    """Have the methods of `plugin` registered for this test alone."""
    load_plugins.cache_clear()
    registry = registered()
    manager = registry.loaded.manager
    manager.register(plugin, name="of the test")
    loaded = Loaded(manager, [*registry.plugins, Plugin("of the test", "test", "0")])
    rebuilt = Registry(loaded.offers, lambda: loaded)
    load_plugins.cache_clear()
    monkeypatch.setattr("tests.training.support.registered", lambda: rebuilt)
