"""Folders of tasks: none outlives its process for long, and nobody's is taken from it."""

import os
import subprocess
import sys
import tempfile

import pytest

from kdbench.execution.cluster.scratch import scratch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ray's machines are no Windows: folders have no locks there")
KILLED = """
import os, signal
from kdbench.execution.cluster.scratch import scratch
with scratch() as folder:
    (folder / "weights").write_bytes(b"w")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def age(folder):
    os.utime(folder, (0, 0))


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "weights").exists()
    with scratch():
        assert left.exists(), "it might be one that is being made"
    age(left)
    with scratch() as mine:
        assert [*tmp_path.iterdir()] == [mine]
    assert not [*tmp_path.iterdir()]


def test_what_is_in_use_and_what_is_none_of_a_task_s_stays(tmp_path):
    others = [tmp_path / name for name in ("kdbench-results", ".kdbench-cohort-results")]
    for other in others:
        other.mkdir()
        age(other)
    with scratch() as first:
        age(first)
        with scratch() as second:
            assert {*tmp_path.iterdir()} == {first, second, *others}
