"""What methods are made of."""

import os
import subprocess
import sys

from kdbench.method import MethodParams, param

SETS = """
from kdbench.method import MethodParams, param
class Params(MethodParams):
    at: frozenset[str] = param(frozenset({"early", "middle", "late", "last"}), "stages")
print(Params().model_dump_json())
"""


def test_a_set_is_written_in_one_order_in_every_process():
    written = {
        subprocess.run(
            [sys.executable, "-c", SETS], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert written == {b'{"at":["early","last","late","middle"]}\n'}


def test_other_parameters_are_written_as_they_are():
    class Params(MethodParams):
        taps: tuple[str, ...] = param(("late", "early"), "stages")
        tau: float = param(4.0, "temperature")

    assert Params().model_dump(mode="json") == {"taps": ["late", "early"], "tau": 4.0}


def test_a_parameter_added_later_is_told_to_a_run_only_where_it_changes_something():
    class Before(MethodParams):
        tau: float = param(4.0, "temperature")

    class After(Before):
        taps: tuple[str, ...] = param(("early",), "stages", added_later=True)

    assert After().of_run() == Before().of_run() == {"tau": 4.0}
    assert After(taps=("early",), tau=2).of_run() == {"tau": 2.0}
    assert After(taps=("late",)).of_run() == {"tau": 4.0, "taps": ["late"]}
    assert After().model_dump(mode="json") == {"tau": 4.0, "taps": ["early"]}
