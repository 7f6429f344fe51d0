"""A forked `kdbench` process is as good as a fresh one, and so are its workers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes

pytestmark = pytest.mark.long

#: What tells a process, in the file `place`.
TELLS = """
import functools, json, os, signal, sys, threading
import torch

def describe(stream):
    of = ("name", "mode", "encoding", "errors", "line_buffering", "write_through")
    return stream and [getattr(stream, what) for what in of]

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
    "main": (main.__name__, getattr(main.__spec__, "name", None), getattr(main, "__file__", None)),
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
with open(place, "w") as file:
    json.dump(told, file)
"""
#: A plugin that has the process and a worker of it told of.
PLUGIN = """
import multiprocessing

if not multiprocessing.parent_process():
    exec(TELLS, {"place": "process.json"})
    from kdbench.execution import birth
    worker = birth.context().Process(target=exec, args=(TELLS, {"place": "worker.json"}))
    with birth.quiet_birth():
        worker.start()
    worker.join()
"""


def test_it_finds_what_a_fresh_one_finds(tmp_path, monkeypatch):
    words = ["verify", "nobody", "--plugin", str(tmp_path / "tells.py")]
    (tmp_path / "tells.py").write_text(f"TELLS = {TELLS!r}\n{PLUGIN}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    forked = processes.run(*words)
    of_forked = told()
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
    of_fresh = told()
    assert (forked.code, forked.out, forked.err) == (fresh.returncode, fresh.stdout, fresh.stderr)
    # It can ask a copy of itself to fork workers.
    of_forked["process"]["open files"] -= processes.FORKS_WORKERS
    # PyTorch's compiler sets it where it is imported first.
    for one in (*of_forked.values(), *of_fresh.values()):
        one["environment"].pop("TORCHINDUCTOR_CACHE_DIR", None)
    assert of_forked == of_fresh


def told():
    return {who: json.loads(Path(f"{who}.json").read_text()) for who in ("process", "worker")}
