"""A forked `kdbench` process is as good as a fresh one."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests import processes

pytestmark = pytest.mark.long

#: A plugin that tells what it finds where it is loaded.
TELLS = """
import functools, json, os, signal, sys, threading
import torch

def describe(stream):
    return (stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering, stream.write_through)

def within(place):
    # What a module or a class defines, and what is defined within its classes.
    for value in list(vars(place).values()):
        yield value
        if isinstance(value, type) and value.__module__ == getattr(place, "__name__", None):
            yield from within(value)

remembered = {
    f"{name}.{x.__qualname__}"
    for name, module in list(sys.modules.items()) if name.startswith("kdbench")
    for x in within(module) if isinstance(x, functools._lru_cache_wrapper) and x.cache_info().currsize
}
main = sys.modules["__main__"]
told = {
    "words": sys.argv,
    "main": (main.__name__, main.__spec__.name, main.__file__),
    "places of modules": sys.path,
    "what kdbench has remembered": sorted(remembered),
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "open files": len(os.listdir("/dev/fd")),
    "leads its session": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "signals": {s.name: getattr(signal.getsignal(s), "__name__", signal.getsignal(s)) for s in signal.Signals},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "streams": [describe(x) for x in (sys.stdin, sys.__stdin__, sys.__stdout__, sys.__stderr__)],
    "threads": threading.active_count(),
    "torch": (torch.get_num_threads(), torch.is_deterministic_algorithms_warn_only_enabled(),
              torch.cuda.is_initialized(), str(torch.get_default_dtype())),
}
with open("told.json", "w") as file:
    json.dump(told, file)
"""


def test_it_finds_what_a_fresh_one_finds(tmp_path, monkeypatch):
    told = []
    words = ["verify", "nobody", "--plugin", str(tmp_path / "tells.py")]
    (tmp_path / "tells.py").write_text(TELLS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    forked = processes.run(*words)
    told.append(json.loads((tmp_path / "told.json").read_text()))
    fresh = subprocess.run(
        [sys.executable, "-m", "kdbench", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        # As in a forked one, whatever the tests were told to ignore.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in processes.SIGNALS],
        # What libraries in C have set, such as readline the terminal's width, is theirs.
        env=dict(os.environ),
    )
    told.append(json.loads((tmp_path / "told.json").read_text()))
    assert (forked.code, forked.out, forked.err) == (fresh.returncode, fresh.stdout, fresh.stderr)
    assert told[0] == told[1]
