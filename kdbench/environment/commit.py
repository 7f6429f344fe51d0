"""The commit that kdbench runs from, and the command that was given."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path


@functools.cache
def git_commit() -> str | None:
    """Commit of the checkout that kdbench runs from, with `+` if its files were changed; None outside a checkout."""
    folder = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def command_line() -> str:
    """The command as it was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
