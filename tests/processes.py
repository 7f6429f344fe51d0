"""Real processes of `kdbench`, and of pytest, without the seconds that imports take: each is forked from a server that
has imported all.

A process has a number, a session, streams, a working folder and an environment of its own, and ends as any Python does.
It finds what a fresh one would: the server has loaded modules and done nothing with them. What is about starting, such
as variables that are read by an import, takes a new interpreter instead.

Started with `python -m tests.processes`, the server reads questions in JSON, one a line, and answers each with a
number: a new process's, or the exit code of an ended one (minus the signal that killed it).
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.cli.support import Result
from tests.fork_server import leave_copy

#: What could end a new process before it can hear of it.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What commands import only when they need it.
LATER = (
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "multiprocessing.popen_spawn_posix",
    "rich.progress",
    "scipy.stats",
    "sklearn.datasets",
    "torch._dynamo",
)
#: Modules that are left to those who need them: they start threads, or choose by the environment what they are.
NOT_BEFORE = ("kdbench.data.parquet", "kdbench.losses.triton", "kdbench.trackers", "kdbench.__main__")
#: Elsewhere workers are new interpreters.
FORKS_WORKERS = sys.platform == "linux"
#: As it is before any test.
_ENVIRONMENT = dict(os.environ)


class Process:
    """A process that may be asked for its end."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def wait(self) -> int:
        """How it ended, once it has."""
        return self._ended(poll=False) or 0

    def poll(self) -> int | None:
        """How it ended, None if it has not."""
        return self._ended(poll=True)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def _ended(self, poll: bool) -> int | None:
        if self.returncode is None:
            self.returncode = _server().ask(wait=self.pid, poll=poll)
        return self.returncode


def start(
    *words: object,
    out: Path | str | None,
    err: Path | str | None,
    env: Mapping[str, str] | None = None,
    module: str = "kdbench",
) -> Process:
    """A new process of `python -m MODULE WORDS` in the working folder, which leads a session of its own.

    It reads nothing, and appends to the files `out` and `err`, which may be the same; None is a stream that is closed.
    `env` is added to the environment.
    """
    return Process(
        _server().ask(
            module=module,
            words=[str(word) for word in words],
            streams=[path and str(path) for path in (out, err)],
            env={**os.environ, **_Server.VARIABLES, **(env or {})},
            cwd=str(Path.cwd()),
        )
    )


def descendants(pid: int) -> list[int]:
    """The numbers of all processes below one."""
    children = [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def await_end(pids: Iterable[int]) -> None:
    """Returns when none of these processes is there any more."""
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.05)


def run(*words: object, env: Mapping[str, str] | None = None, module: str = "kdbench") -> Result:
    """How `python -m MODULE WORDS` in a process of its own ended, and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        code = start(*words, out=out, err=err, env=env, module=module).wait()
        return Result(code, out.read_text(), err.read_text())


class _Server:
    """The tests' side of the server."""

    #: OpenMP's threads would not survive a fork.
    VARIABLES = {"OMP_NUM_THREADS": "1"}

    def __init__(self) -> None:
        # It ends when its standard input does.
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env={**_ENVIRONMENT, **self.VARIABLES},
            start_new_session=True,
        )
        atexit.register(self._process.communicate)

    def ask(self, **question: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@functools.cache
def _server() -> _Server:
    return _Server()


def _prepare() -> None:
    """Import all that commands import, and nothing else."""
    for name in ("kdbench", "kdbench_methods", "kdbench_architectures"):
        for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
            if not module.name.startswith(NOT_BEFORE):
                importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)
    if Path("/proc/self/task").exists():
        threads = [task.name for task in Path("/proc/self/task").iterdir()]
        assert len(threads) == 1, "a module has started a thread, which a fork would lose"
    # Else every collection of garbage in a new process would copy all of it.
    gc.freeze()


def _serve() -> dict[str, Any] | None:
    """Answer questions. In a new process: what it is to do; in the server: None at the end."""
    children: set[int] = set()
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            pid, status = os.waitpid(question["wait"], os.WNOHANG if question["poll"] else 0)
            answer = os.waitstatus_to_exitcode(status) if pid else None
            children.discard(pid)
        else:
            # A signal that comes before the new process can hear it waits until it can.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            answer = os.fork()
            if not answer:
                return question
            children.add(answer)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        print(json.dumps(answer), flush=True)
    for pid in children:
        os.killpg(pid, signal.SIGKILL)
    return None


def _become(module: str, words: list[str], streams: list[str | None], env: dict[str, str], cwd: str) -> None:
    """Be `python -m MODULE WORDS`."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate([os.devnull, *streams]):
        _redirect(number, path)
    sys.argv[1:] = words
    sys.path[0] = cwd
    for number in SIGNALS:
        # Whoever runs the tests may have been told to ignore it.
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if FORKS_WORKERS:
        leave_copy()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        # Before `main`, which ends so itself. Python would say where it was.
        os._exit(130)


def _redirect(number: int, path: str | None) -> None:
    """Have a standard stream read or write the file `path`; None closes it."""
    name = ("stdin", "stdout", "stderr")[number]
    if path is None:
        os.close(number)
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)
        return
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY)
    os.dup2(opened, number)
    os.close(opened)
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    if number and encoding:
        getattr(sys, name).reconfigure(encoding=encoding, errors="backslashreplace" if number == 2 else errors or None)


if __name__ == "__main__":
    _prepare()
    if question := _serve():
        _become(**question)
