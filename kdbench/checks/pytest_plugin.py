"""The conformance suite as pytest items: one for each method and check that a `conftest.py` asks for.

    kdbench_methods = ["my_method"]

is all that it takes. `kdbench_plugins` may name plugin files beside the conftest for methods that are not installed,
and `kdbench_pairs` other pairs than the paper's. pytest imports this module wherever kdbench is installed, so it
imports nothing of kdbench, and thereby torch, until a conftest asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kdbench.gate.pytest_fixture import kdbench_gate  # noqa: F401 (pytest finds the fixture here)

if TYPE_CHECKING:
    from kdbench.checks.findings import Finding
    from kdbench.checks.suite import Conformance


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A conftest that names methods is collected like a file of tests."""
    if file_path.name != "conftest.py":
        return None
    loaded = parent.config.pluginmanager.get_plugins()
    conftest = next((m for m in loaded if getattr(m, "__file__", None) == str(file_path)), None)
    if not hasattr(conftest, "kdbench_methods"):
        return None
    collector: ConformanceFile = ConformanceFile.from_parent(parent, path=file_path, wishes=vars(conftest))
    return collector


class ConformanceFile(pytest.File):
    """The methods that one conftest names."""

    def __init__(self, *, wishes: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self._methods = _names(wishes, "kdbench_methods")
        self._pairs = _names(wishes, "kdbench_pairs")
        self._plugins = tuple(self.path.parent / name for name in _names(wishes, "kdbench_plugins"))

    def collect(self) -> Iterator[pytest.Item]:
        """One item a method and check. A method that is not there is an error of collection."""
        from kdbench.checks.suite import CHECKS, Conformance, paper_pairs
        from kdbench.inputs.errors import UserError
        from kdbench.plugins import load_plugins

        try:
            registry = load_plugins(self._plugins)
            names = [registry.method(name).name for name in self._methods]
            suite = Conformance(registry, paper_pairs(registry, self._pairs))
        except UserError as error:
            advice = "A method of this package is found once that is installed: python -m pip install -e ."
            raise self.CollectError(f"{error} {advice}") from None
        for name in names:
            verdict = Verdict(suite, name)
            for check in CHECKS:
                yield ConformanceItem.from_parent(self, name=f"{name}[{check}]", check=check, verdict=verdict)


class Verdict:
    """All findings on a method, made when the first of its items runs."""

    def __init__(self, suite: Conformance, method: str):
        self._suite = suite
        self._method = method
        self._findings: list[Finding] | None = None

    def of(self, check: str) -> list[Finding]:
        """What one check says, pair by pair."""
        if self._findings is None:
            self._findings = self._suite.verify(self._method)
        return [finding for finding in self._findings if finding.check == check]


class NotConforming(Exception):
    """What is printed of a failed item: reasons and advice, and no traceback into kdbench."""


class ConformanceItem(pytest.Item):
    """One check of one method, on all pairs."""

    def __init__(self, *, check: str, verdict: Verdict, **kwargs: Any):
        super().__init__(**kwargs)
        self._check = check
        self._verdict = verdict

    def runtest(self) -> None:
        """Fail with what failed; skip where no pair was judged."""
        findings = self._verdict.of(self._check)
        failed = [f for f in findings if f.status == "failed"]
        if failed:
            said = dict.fromkeys(f"{f.method} on {f.pair}: {f.reason}\n  advice: {f.advice}" for f in failed)
            raise NotConforming("\n".join(said))
        if not any(finding.status == "passed" for finding in findings):
            pytest.skip(findings[0].reason if findings else "not reached")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The reasons alone."""
        if isinstance(excinfo.value, NotConforming):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where reports say it is."""
        return self.path, None, self.name


def _names(wishes: dict[str, Any], key: str) -> Sequence[str]:
    value = wishes.get(key, ())
    if isinstance(value, str) or not all(isinstance(name, str) for name in value):
        raise pytest.UsageError(f"{key} in a conftest.py must be a list of names, not {value!r}")
    return tuple(value)
