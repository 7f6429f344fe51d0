"""A baseline's runs again: planned and trained like any grid's, in a results folder of the caller's choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdbench.cells import Cell, Expansion
from kdbench.data.dataset import DatasetInfo
from kdbench.data.opened import OpenDataset
from kdbench.declared import declared
from kdbench.execution.plan import Plan, make_plan
from kdbench.execution.staleness import Present
from kdbench.gate.baseline import Baseline, CellKey, cell_key
from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted
from kdbench.registry import Registry
from kdbench.store.store import Store

if TYPE_CHECKING:
    from kdbench.execution.options import Options
    from kdbench.execution.schedule import Summary


@dataclass(frozen=True)
class Bench:
    """A baseline's grid, opened with the plugins, data and results folder that are here now."""

    baseline: Baseline
    registry: Registry
    data: OpenDataset
    expansion: Expansion
    store: Store

    @property
    def cells(self) -> dict[CellKey, Cell]:
        """The grid's cells by the keys of the baseline's."""
        return {cell_key(cell): cell for cell in self.expansion.cells}

    @property
    def plan(self) -> Plan:
        """What the results folder holds of the baseline's cells, and what it lacks."""
        wanted = {cell.key for cell in self.baseline.cells}
        runs = (run for key, cell in self.cells.items() if key in wanted for run in cell.runs)
        return make_plan(runs, self.store, Present(self.registry, self.data.info.checksum))


def open_bench(
    baseline: Baseline,
    registry: Registry,
    results: Path,
    *,
    seeds: Sequence[int] = (),
    dataset: str | None = None,
    data_dir: Path | None = None,
    imported: Sequence[tuple[str, str]] = (),
) -> Bench:
    """Expand a baseline's grid again, on `seeds` if any are given; `dataset` is where the same data now lie.

    `imported` are (architecture, sha256) of teachers whose weights are at hand. Raises `UserError` if the baseline
    needs other ones, names what is not installed, or was measured on other data.
    """
    digests = dict(imported)
    if digests != baseline.imported:
        needed = ", ".join(f"{name} {digest[:12]}" for name, digest in baseline.imported.items()) or "none"
        raise UserError(
            f"the baseline was measured with these imported teachers: {needed}; give their files, and no others, "
            "with --teacher ARCH=FILE."
        )
    changes = {"seeds": tuple(seeds) or baseline.grid.seeds, "dataset": dataset or baseline.grid.dataset}
    grid = baseline.grid.model_copy(update=changes)
    data = OpenDataset(registry.dataset(grid.dataset), data_dir)
    if data.info.checksum is not None:
        _refuse_other_data(data.info, baseline)
    return Bench(baseline, registry, data, Expansion(grid, registry, data.info, digests), Store(results))


def _refuse_other_data(info: DatasetInfo, baseline: Baseline) -> None:
    if info.checksum != baseline.data_sha256:
        raise UserError(
            f"data set '{info.name}' is not the baseline's ({str(info.checksum)[:12]}, not "
            f"{baseline.data_sha256[:12]}), so nothing can be compared; give the data that it was measured on, or make "
            "a new baseline."
        )


def refuse_stale(bench: Bench) -> None:
    """Raise `UserError` if the results folder holds runs of other code than is installed: their accuracy would be
    taken for that of the present code.
    """
    stale = bench.plan.stale
    if stale:
        run_id, why = next(iter(stale.items()))
        raise UserError(
            f"{bench.store.root} holds {counted(len(stale), 'stale result')}, such as {run_id} ({why}); give an empty "
            "--results folder or `kdbench run --rerun stale` to train them anew, or --no-run to judge them as they are."
        )


def train(bench: Bench, plan: Plan, options: Options, stop_requested: Callable[[], bool] = lambda: False) -> Summary:
    """Train what the plan lacks, its teachers first. Raises `UserError` where the data are not the baseline's."""
    from kdbench.execution.schedule import Summary, execute

    if not plan.pending:
        return Summary()
    dataset = bench.data.loaded
    _refuse_other_data(dataset.info, bench.baseline)
    return execute(plan, bench.store, bench.registry, dataset, options, stop_requested)


def changed_runs(bench: Bench) -> dict[CellKey, str]:
    """In words, for each cell whose runs are configured otherwise than the baseline's: mostly defaults have changed."""
    changes = {}
    for cell in bench.baseline.cells:
        now = bench.cells[cell.key]
        params = bench.registry.ask(declared, now.row.method, now.row.params)["params"]
        names = sorted(name for name in {*params, *cell.params} if params.get(name) != cell.params.get(name))
        before = {value.seed: value.run for value in cell.values}
        if names:
            was = ", ".join(f"{name} {cell.params.get(name)} → {params.get(name)}" for name in names)
            changes[cell.key] = f"parameters changed: {was}"
        elif any(before.get(run.seed, run.id) != run.id for run in now.runs):
            changes[cell.key] = "run ids changed: its recipe, or its teacher's, is not what it was"
    return changes
