"""Commands as whole processes, from the shell's point of view: `pytest benchmarks/test_command_line.py`.

Seconds and, as `extra_info`, the largest memory in MB; on a grid that is finished, so that nothing is trained.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import kdbench, tiny_grid


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a finished grid and a baseline of it."""
    folder = tmp_path_factory.mktemp("finished")
    options = ("--grid", tiny_grid(folder), "--results", folder / "runs")
    assert kdbench("run", *options, "--workers", 1).code == 0
    assert kdbench("baseline", "save", folder / "baseline.json", *options).code == 0
    return folder


GRID = "--grid tiny.yaml --results runs"


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "run --help",
        "list methods --help",
        "list methods",
        "list architectures",
        "show kd",
        f"table {GRID}",
        f"stats {GRID}",
        "check --no-run --baseline baseline.json --results runs",
        f"run {GRID}",
    ],
)
def test_command(benchmark, finished, words):
    memory = benchmark.pedantic(whole_process, (words.split(), finished), rounds=5, warmup_rounds=1)
    benchmark.extra_info["MB"] = round(memory)


def test_completion(benchmark, finished):
    shell = {"_KDBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "kdbench show vgg", "COMP_CWORD": "2"}
    benchmark.pedantic(whole_process, ([], finished, shell), rounds=5, warmup_rounds=1)


def whole_process(words: list[str], folder: Path, environment: dict[str, str] | None = None) -> float:
    """Runs `kdbench WORDS` in a folder; the most memory that it took, in MB."""
    command = [sys.executable, "-m", "kdbench", *words]
    child = subprocess.Popen(command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 3), words
    return usage.ru_maxrss / 1024
