"""The server that a process forks its workers from, as a copy of that process instead of a new interpreter.

A server imports what workers need, which takes seconds, and does nothing else. So a process that has imported all and
done nothing can leave a copy of itself, which becomes its server if one is asked for, and else ends with it.
"""

import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing import util
from pathlib import Path
from types import ModuleType

#: Files that are passed on come in above all that a server is to have.
ABOVE = 500
STREAMS = (0, 1, 2)


def leave_copy() -> None:
    """The first server that `multiprocessing` is to start is a copy of what this process is now.

    Signals that would end it are to be blocked.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    copy = os.fork()
    if not copy:
        ours.close()
        _serve(theirs)
    theirs.close()
    start = util.spawnv_passfds

    def started(path: bytes, args: Sequence[str], files: Sequence[int]) -> int:
        code = args[-1]
        if "multiprocessing.forkserver" not in code or ours.fileno() < 0:
            return start(path, args, files)
        files = [*files, *filter(_is_open, STREAMS)]
        with ours:
            message = {
                "code": code,
                "files": files,
                "environment": dict(os.environ),
                "folder": str(Path.cwd()),
                "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            }
            socket.send_fds(ours, [json.dumps(message).encode()], files)
        return copy

    util.spawnv_passfds = started


def _serve(asked: socket.socket) -> None:
    """Be `python -c CODE`, once asked, with the files that it names by their numbers."""
    with asked:
        message, received, *_ = socket.recv_fds(asked, 2**20, 16)
    if not message:
        os._exit(0)
    told = json.loads(message)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    signal.pthread_sigmask(signal.SIG_SETMASK, told["blocked"])
    above = [fcntl.fcntl(file, fcntl.F_DUPFD, ABOVE) for file in received]
    for file in {*received, *filter(_is_open, STREAMS)}:
        os.close(file)
    for file, number in zip(above, told["files"], strict=True):
        os.dup2(file, number)
        os.close(file)
    sys.argv[:] = ["-c"]
    sys.modules["__main__"] = ModuleType("__main__")
    exec(told["code"], vars(sys.modules["__main__"]))
    sys.exit()


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True
