"""Every file operation of a small grid fails once, in every way; the same command given again ends in the same bits."""

import itertools

import pytest

from kdbench.execution import schedule, trainer, upkeep
from kdbench.execution.options import Options
from kdbench.execution.plan import make_plan
from kdbench.execution.schedule import execute
from kdbench.execution.staleness import Present
from kdbench.execution.upkeep import collect, leftovers
from kdbench.inputs.errors import UserError
from kdbench.store import claims, files
from kdbench.store.store import Store
from tests.store.faulty_disk import FAULTS, FaultyDisk, PowerLoss
from tests.training.support import CPU, RECIPE, light_runs, noise_dataset, outcome, registered

pytestmark = pytest.mark.long

#: Three epochs of the student, since it takes two checkpoints for the first to become the previous one.
SHORT = RECIPE.model_copy(update={"epochs": 1, "max_steps": 1, "milestones": ()})
RUNS = light_runs("kd", recipe=SHORT.model_copy(update={"epochs": 3}), teacher_recipe=SHORT)
DATASET = noise_dataset()


@pytest.fixture
def command(monkeypatch):
    """`command(root)` does what `kdbench run` does to a results folder, each time as another process would."""
    processes = itertools.count()
    monkeypatch.setattr(claims, "_started", lambda pid: process)
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0)
    monkeypatch.setattr(upkeep, "WRITING_SECONDS", 0)
    # Counting takes longer than this training.
    monkeypatch.setattr(trainer, "forward_flops", lambda *_: 0)
    monkeypatch.setattr(schedule, "ForwardFlops", lambda *_: lambda *_: 0)
    process = ""

    def run(root, disk):
        nonlocal process
        process = f"process {next(processes)}"
        monkeypatch.setattr(files, "disk", disk)
        registry, store = registered(), Store(root)
        plan = make_plan(RUNS, store, Present(registry))
        assert not plan.damaged and not plan.stale
        execute(plan, store, registry, DATASET, Options(CPU, workers=1, checkpoint_seconds=0))

    return run


def outcomes(root):
    found = Store(root).find()
    assert not found.damaged
    return {record.run.title: outcome(record) for record in found.records.values()}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_loses_anything(command, tmp_path, capsys, fault):
    whole = FaultyDisk()
    command(tmp_path / "unbroken", whole)
    expected = outcomes(tmp_path / "unbroken")
    assert len(expected) == 2
    struck = 0
    for at in range(1, whole.count + 1):
        root, disk = tmp_path / str(at), FaultyDisk(at, fault)
        try:
            command(root, disk)
        except (UserError, PowerLoss):
            struck += 1
        disk.restart(root)
        assert outcomes(root).items() <= expected.items(), at
        command(root, files.Disk())
        assert outcomes(root) == expected, at
        collect(leftovers(Store(root)))
        assert {path.parent.name for path in root.rglob("*") if path.is_file()} == {"records", "weights"}, at
    with capsys.disabled():
        print(f"\n{fault}: {whole.count} injection points, losses: 0")
    assert whole.count > 40
    # An error while a claim is removed is no matter: its process ends.
    assert struck == whole.count or (fault == "error" and struck >= 0.8 * whole.count)
