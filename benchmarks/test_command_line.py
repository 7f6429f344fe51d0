"""Commands as whole processes, from the shell's point of view: `pytest benchmarks/test_command_line.py`.

Seconds and, as `extra_info`, the median seconds of processor time, which other work on the machine disturbs least, and
the largest memory in MB; on a grid that is finished, so that nothing is trained, and not for the first time, so that
what plugins say is remembered. PyTorch's import stands beside them: what needs plugins' code takes at least that.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import kdbench, tiny_grid


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a finished grid and a baseline of it, and a home of its own."""
    folder = tmp_path_factory.mktemp("finished")
    options = ("--grid", tiny_grid(folder), "--results", folder / "runs")
    assert kdbench("run", *options, "--workers", 1).code == 0
    assert kdbench("baseline", "save", folder / "baseline.json", *options).code == 0
    return folder


KDBENCH = str(Path(sys.executable).with_name("kdbench"))
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
        "list grids",
        "show kd",
        f"table {GRID}",
        f"stats {GRID}",
        "check --no-run --baseline baseline.json --results runs",
        f"run {GRID}",
    ],
)
def test_command(benchmark, finished, words):
    measure(benchmark, [KDBENCH, *words.split()], finished)


def test_completion(benchmark, finished):
    shell = {"_KDBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "kdbench show vgg", "COMP_CWORD": "2"}
    measure(benchmark, [KDBENCH], finished, shell)


def test_pytorch(benchmark, finished):
    measure(benchmark, [sys.executable, "-c", "import torch"], finished)


#: Prints the memory of a command. A process that has much of it hands it on to its children's account.
SMALL = "import resource, subprocess, sys; subprocess.call(sys.argv[1:], stdout=-3); "
SMALL += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


def measure(benchmark, command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Time a command in a folder, five times after the first."""
    variables = {**os.environ, "HOME": str(folder), **(environment or {})}
    used = []

    def whole_process() -> None:
        child = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 3), command
        used.append(usage)

    benchmark.pedantic(whole_process, rounds=5, warmup_rounds=1)
    benchmark.extra_info["CPU"] = round(statistics.median(one.ru_utime + one.ru_stime for one in used[1:]), 3)
    memory = subprocess.check_output([sys.executable, "-S", "-c", SMALL, *command], cwd=folder, env=variables)
    benchmark.extra_info["MB"] = round(int(memory) / 1024)
