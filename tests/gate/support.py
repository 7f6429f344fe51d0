"""Records and baselines of runs that were never made."""

import hashlib
from pathlib import Path

from kdbench.cells import Expansion
from kdbench.data.digits import INFO
from kdbench.gate.baseline import Baseline, freeze, write_baseline
from kdbench.plugins import load_plugins
from kdbench.run import Run
from kdbench.selection import load_grid
from kdbench.store.records import Cost, Epoch, Failure, Record, Source
from kdbench.store.store import Store
from tests.support import present_basis

#: A mean accuracy for each cell, and how its seeds differ from it.
SPREAD = {0: -0.1, 1: 0.0, 2: 0.1}
GRID = """
dataset: digits
recipe: {epochs: 1, batch_size: 16, max_steps: 2, augmentation: {crop_padding: 1, flip: false}}
seeds: [0, 1, 2]
tables:
  - name: first
    title: A table
    pairs: [resnet14:resnet8]
    rows: [{method: student, label: Student}, {method: kd, label: KD}, {method: dkd, label: DKD}]
"""


def expansion(folder: Path, text: str = GRID) -> Expansion:
    """The cells of a grid of one's own, written to `folder/gate.yaml`."""
    path = folder / "gate.yaml"
    path.write_text(text)
    registry = load_plugins()
    return Expansion(load_grid(str(path), registry), registry, INFO)


def record(run: Run, top1: float, status: str = "done", **changes: object) -> Record:
    """A record of `run`; its weights' digest follows from run and accuracy."""
    done = status == "done"
    values = {
        "id": run.id,
        "status": status,
        "run": run,
        "curve": (Epoch(epoch=1, lr=0.1, loss=1.0, terms={}, test_top1=top1, test_loss=1.0),) if done else (),
        "failure": None if done else Failure(reason="made up", epoch=1),
        "weights_sha256": hashlib.sha256(f"{run.id} {top1}".encode()).hexdigest() if done else None,
        "basis": present_basis(run),
        "source": Source(module="made.up", distribution="kdbench", version="0", sha256="5" * 64),
        "cost": Cost(
            train_seconds=10.0 + run.seed,
            test_seconds=1.0,
            images_per_second=100.0,
            cohort_size=3,
            peak_memory_bytes=1_000_000 * (1 + run.seed),
            deployed_parameters=1000,
            deployed_flops=5_000_000,
            training_parameters=1500,
        )
        if done
        else None,
        "environment": {"device": "made up", "packages": {"kdbench": "0"}},
        "command": "made up",
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00",
    }
    return Record.model_validate(values | changes)


def fill(store: Store, cells: Expansion, tops: dict[str, dict[int, float]]) -> None:
    """A record for each run whose row and seed `tops` names."""
    for cell in cells.cells:
        for run in cell.runs:
            if run.seed in tops.get(cell.row.key, {}):
                store.write(record(run, tops[cell.row.key][run.seed]))


def accuracies(**means: float) -> dict[str, dict[int, float]]:
    """`SPREAD` around a mean for each row."""
    return {row: {seed: mean + change for seed, change in SPREAD.items()} for row, mean in means.items()}


def baseline_of(store: Store, cells: Expansion, margin: float = 0.3) -> Baseline:
    """All records of the store, frozen."""
    return freeze(cells, store.find().records, {}, margin)


def written(baseline: Baseline, path: Path) -> Path:
    """The baseline as a file."""
    write_baseline(baseline, path, overwrite=True)
    return path
