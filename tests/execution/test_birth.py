"""What workers are born with: the modules of a server that has imported them, and nothing else of it."""

import os
import re
import sys
from pathlib import Path

import pytest
import torch

from kdbench.execution import birth
from kdbench.execution.interrupt import StopSignal

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked"),
]


def at_birth(pipe):
    """What a worker finds before it does anything; its parent is the server."""
    server = f"/proc/{os.getppid()}"
    blocked = int(re.search(r"SigBlk:\s*(\w+)", Path(server, "status").read_text())[1], 16)
    pipe.send(
        {
            "has imported": "kdbench.execution.worker" in sys.modules,
            "has CUDA": torch.cuda.is_initialized() or torch.cuda._is_in_bad_fork(),
            "threads of the server": len(os.listdir(f"{server}/task")),  # noqa: PTH208
            "signals that end the server": [n for n in StopSignal.SIGNALS if not blocked >> (n - 1) & 1],
            "imports from the working folder": not sys.flags.safe_path,
            "standard input": sys.stdin.fileno() if sys.stdin else None,
            "computes": float(torch.ones(300, 300).mm(torch.ones(300, 300)).sum()),
        }
    )


def test_workers_are_forked_from_a_server_that_has_imported_and_done_nothing(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    birth.expect_workers()
    pipe, theirs = birth.context().Pipe()
    process = birth.context().Process(target=at_birth, args=(theirs,))
    with birth.quiet_birth():
        process.start()
    found = pipe.recv()
    process.join()
    assert process.exitcode == 0
    assert "PYTHONSAFEPATH" not in os.environ
    assert found.pop("standard input") != 0
    assert found == {
        "has imported": True,
        "has CUDA": False,
        "threads of the server": 1,
        "signals that end the server": [],
        "imports from the working folder": False,
        "computes": 300.0**3,
    }
