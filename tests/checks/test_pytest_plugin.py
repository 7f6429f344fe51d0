"""One line in a conftest.py makes pytest judge a method."""

import subprocess
import sys

import pytest

import kdbench.checks.suite
from tests import processes
from tests.checks.test_suite import PAIR, PLUGINS

# Runs are processes of their own: in this one, pytester would drop parts of torch that cannot be imported twice.
pytest_plugins = ["pytester"]
CHECKS = tuple(kdbench.checks.suite.CHECKS)


def conftest(methods):
    plugins = [str(file) for file in PLUGINS]
    return f"kdbench_methods = {methods}\nkdbench_plugins = {plugins}\nkdbench_pairs = [{PAIR!r}]\n"


def run(pytester, *words):
    """What pytest comes to in the folder of `pytester`."""
    done = processes.run(*words, f"--basetemp={pytester.path / 'temporary'}", module="pytest")
    return pytest.RunResult(done.code, done.out.splitlines(), done.err.splitlines(), 0.0)


def test_pytest_finds_the_plugin_by_its_entry_point(pytestconfig):
    assert pytestconfig.pluginmanager.get_plugin("kdbench").__name__ == "kdbench.checks.pytest_plugin"


def test_one_item_a_method_and_check(pytester):
    pytester.makeconftest(conftest(["good", "teacher_free"]))
    result = run(pytester, "--collect-only", "-q")
    expected = [f"conftest.py::{name}[[]{check}[]]" for name in ("good", "teacher_free") for check in CHECKS]
    result.stdout.fnmatch_lines(expected, consecutive=True)


def test_good_methods_pass_beside_the_authors_tests_and_a_failed_check_tells_reason_and_advice(pytester):
    pytester.makeconftest(conftest(["good", "item"]))
    pytester.makepyfile("def test_mine(): pass")
    result = run(pytester, "-rs")
    # Of `item`, what would trace it is not reached.
    result.assert_outcomes(passed=len(CHECKS) + len(CHECKS) - 4, skipped=1 + 3, failed=1)
    result.stdout.fnmatch_lines([f"item on {PAIR}: `Tensor.item` reads a value on the host*", "  advice: *"])
    result.stdout.fnmatch_lines(["SKIPPED*the method declares a teacher"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert "pytest_plugin.py" not in result.stdout.str().split("short test summary")[0]


def test_a_method_that_is_not_there_is_an_error_of_collection(pytester):
    pytester.makeconftest(conftest(["goood"]))
    result = run(pytester)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["unknown method 'goood'; did you mean 'good'?*pip install -e ."])


@pytest.mark.parametrize("wish", ['kdbench_methods = "good"', "kdbench_methods = [1]"])
def test_a_wish_that_is_no_list_of_names_is_refused(pytester, wish):
    pytester.makeconftest(wish)
    result = run(pytester)
    assert result.ret != 0
    assert "kdbench_methods in a conftest.py must be a list of names" in result.stdout.str() + result.stderr.str()


def test_a_project_without_the_line_is_left_alone(pytester):
    pytester.makeconftest("")
    pytester.makepyfile("def test_mine(): pass")
    run(pytester).assert_outcomes(passed=1)


def test_there_is_no_fixture_called_benchmark(pytester):
    result = run(pytester, "--fixtures", "-p", "no:benchmark")
    result.stdout.no_re_match_line(r"benchmark\b.*")


def test_it_costs_no_import_of_torch():
    code = "import sys, kdbench.checks.pytest_plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
