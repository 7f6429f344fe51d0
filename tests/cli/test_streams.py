"""Real streams of real processes: what a plugin prints, a reader that leaves, streams that are full or closed."""

import errno
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from kdbench.cli.main import main
from kdbench.store.store import Store
from tests import processes
from tests.cli.support import tiny_grid

PRINTS = """
import os
import warnings
import kdbench
from kdbench.supervised import Supervised

print("foreign import")
os.write(1, b"foreign write\\n")
warnings.warn("foreign warning")


class Mine(Supervised):
    name = "mine"

    @classmethod
    def weights(cls, params):
        print("foreign weights")
        return super().weights(params)

    def terms(self, *given):
        print("foreign \\u2192 terms")
        warnings.warn("foreign warning")
        return super().terms(*given)


@kdbench.hookimpl
def kdbench_methods():
    print("foreign hook")
    return [Mine]


@kdbench.hookimpl
def kdbench_run_ended(run, record):
    print("foreign end")
"""


@pytest.mark.long
def test_json_is_alone_whatever_a_plugin_prints_here_and_in_workers(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PRINTS)
    words = ["run", "--grid", tiny_grid(tmp_path), "--methods", "mine", "--plugin", plugin, "--results", tmp_path / "r"]
    done = processes.run(*words, "--workers", 2, "--json", env={"PYTHONIOENCODING": "ascii"})
    assert done.code == 0, done.err
    assert [cell["method"] for cell in json.loads(done.out)] == ["mine"]
    for printed in ("import", "write", "weights", r"\u2192 terms", "hook", "end"):
        assert f"foreign {printed}" in done.err
    assert "foreign warning" not in done.err and "Warning" not in done.err


class Pipe(io.StringIO):
    """A pipe whose reader takes one line and leaves."""

    def write(self, text):
        if self.getvalue():
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return super().write(text)


def test_training_goes_on_when_its_reader_has_left(tmp_path, monkeypatch):
    grid, results = tiny_grid(tmp_path), tmp_path / "r"
    words = ["run", "--grid", grid, "--methods", "student", "--workers", 1, "--results", results]
    monkeypatch.setattr(sys, "argv", ["kdbench", *map(str, words)])
    with redirect_stdout(Pipe()) as out, pytest.raises(SystemExit, match="0"):
        main()
    assert out.getvalue()
    assert [record.status for record in Store(results).find().records.values()] == ["done", "done"]
    assert (results / "report-tiny.html").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_and_closed_streams_of_a_process(tmp_path):
    for out, err, code, sentence in (
        (
            "/dev/full",
            tmp_path / "err",
            2,
            "kdbench: standard output cannot be written (No space left on device); all else is done.\n",
        ),
        (None, tmp_path / "none", 0, ""),
        ("/dev/full", None, 2, ""),
        (None, None, 0, ""),
    ):
        assert processes.start("list", "recipes", out=out, err=err).wait() == code, (out, err)
        assert not err or err.read_text() == sentence


def test_an_early_ctrl_c_is_one_line():
    command = (
        "import sys; sys.argv = ['kdbench', 'table', '--grid', 'quick']; from kdbench.cli.main import main; main()"
    )
    watched = (
        "import builtins, os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "real = builtins.__import__\n"
        "def slow(name, *rest):\n"
        "    if name == 'torch':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\n"
    )
    done = subprocess.run([sys.executable, "-c", watched + command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        130,
        "",
        "kdbench: stopped at once; what is finished is kept.\n",
    )
