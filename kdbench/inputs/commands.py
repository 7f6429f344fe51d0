"""Commands that are printed or recorded, so that they can be pasted into a shell."""

from __future__ import annotations

import shlex
import sys


def kdbench(*words: object) -> str:
    """The command `kdbench WORDS`, each word quoted where a shell would read it as anything else."""
    return shlex.join(["kdbench", *map(str, words)])


def command_line() -> str:
    """The command that was given to this process."""
    return kdbench(*sys.argv[1:])
