"""No test's outcome depends on time: none has a limit, and none compares what it read from a clock."""

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "process_time"}
#: What may wait: `timeout` is always a name, these also take seconds as their first argument.
WAITS = {"wait", "join"}


def limits(tree: ast.AST) -> list[int]:
    """Lines on which something is given so many seconds, or a time is compared."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", "")
            given = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
            given += node.args[:1] if name in WAITS else []
            if any(
                isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value
                for value in given
            ):
                found.append(node.lineno)
        elif isinstance(node, ast.Compare) and any(getattr(part, "attr", "") in CLOCKS for part in ast.walk(node)):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("line", ["done.wait(10)", "run(command, timeout=60)", "assert time.monotonic() - began < 50"])
def test_what_is_looked_for(line):
    assert limits(ast.parse(line)) == [1]


def test_none_has_a_limit():
    paths = sorted(FOLDER.rglob("*.py"))
    found = {
        f"{path.relative_to(FOLDER)}:{line}"
        for path in paths
        for line in limits(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert not found, f"give events, not seconds, to {sorted(found)} (CONTRIBUTING.md)"
