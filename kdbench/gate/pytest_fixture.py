"""The gate as a pytest fixture: `def test_accuracy(kdbench_gate): kdbench_gate("baseline.json")`.

Everything heavy is imported when the fixture is called, so that pytest starts as fast as without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kdbench.gate.check import Report


class Gate:
    """What the fixture gives: `kdbench check` as a call."""

    def __init__(self, request: pytest.FixtureRequest, folders: pytest.TempPathFactory):
        self._request = request
        self._folders = folders

    def __call__(
        self,
        baseline: str | Path,
        *,
        results: str | Path | None = None,
        margin: float | None = None,
        alpha: float = 0.05,
        allow_undecided: bool = False,
        seeds: Sequence[int] = (),
        device: str = "auto",
        workers: int = 0,
        plugins: Sequence[Path] = (),
    ) -> Report:
        """Train what `results` lacks of the baseline's runs and fail the test if a cell has got worse, or if these
        seeds cannot tell and `allow_undecided` is false. The arguments are those of `kdbench check`; a relative
        `baseline` or `results` is beside the test's file, and without `results` everything is trained anew.
        """
        __tracebackhide__ = True
        from kdbench.environment.device import resolve_device
        from kdbench.execution.options import Options
        from kdbench.gate.baseline import read_baseline
        from kdbench.gate.check import check
        from kdbench.gate.margin import checked_margin
        from kdbench.gate.rerun import open_bench, refuse_stale, train
        from kdbench.gate.text import text
        from kdbench.plugins import load_plugins

        checked_margin(margin)
        beside = self._request.path.parent
        folder = beside / results if results is not None else self._folders.mktemp("kdbench")
        bench = open_bench(read_baseline(beside / baseline), load_plugins(tuple(plugins)), folder, seeds=seeds)
        refuse_stale(bench)
        how = Options(
            device=resolve_device(device),
            workers=workers,
            command=f"pytest {self._request.node.nodeid}",
            plugin_files=tuple(plugins),
        )
        train(bench, bench.plan, how)
        report = check(bench, margin=margin, alpha=alpha)
        if report.exit_code(allow_undecided=allow_undecided):
            pytest.fail(text(report), pytrace=False)
        return report


@pytest.fixture
def kdbench_gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """Compare accuracies with a baseline file; see `kdbench check --help` and docs/ci.md."""
    return Gate(request, tmp_path_factory)
