"""Starts `kdbench` processes without the seconds that importing takes: they are forked from one that has imported all.

Started with `python -m tests.execution.launcher`, it reads questions in JSON, one a line, and answers
each with a number: a new process's, or the exit code of an ended one (minus the signal that killed it).
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import torch

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Launcher:
    """The test's side of it."""

    def __init__(self):
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.execution.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def start(self, argv: list[str], output: Path) -> int:
        """The number of a new `kdbench ARGV` process that prints into the file `output`."""
        return self._ask({"argv": argv, "output": str(output)})

    def wait(self, pid: int) -> int:
        """How a process ended."""
        return self._ask({"wait": pid})

    def poll(self, pid: int) -> int | None:
        """How a process ended, None if it has not."""
        return self._ask({"wait": pid, "poll": True})

    def close(self) -> None:
        """End the server."""
        self._server.stdin.close()
        self._server.wait()

    def _ask(self, question: dict) -> int | None:
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


def _serve() -> None:
    torch.set_num_threads(1)
    from kdbench.cli.main import main
    from kdbench.data.digits import Digits
    from kdbench.plugins import load_plugins

    load_plugins()
    Digits().load(None)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            pid, status = os.waitpid(question["wait"], os.WNOHANG if question.get("poll") else 0)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            # A signal that comes before the new process can hear it waits until it can.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            answer = os.fork()
            if not answer:
                _become(question["argv"], Path(question["output"]), main)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        print(json.dumps(answer), flush=True)


def _become(argv: list[str], output: Path, main) -> None:
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    sys.argv = ["kdbench", *argv]
    code = 70
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
