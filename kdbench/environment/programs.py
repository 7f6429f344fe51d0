"""Other programs that are asked for facts: git, nvidia-smi."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def ask(program: str, *words: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What a program prints, stripped; None where it is not installed, fails or takes longer than 10 s.

    It is looked for in those folders of PATH that are named from the root: nothing in the working folder is run.
    """
    folders = [folder for folder in os.get_exec_path() if Path(folder).is_absolute()]
    found = shutil.which(program, path=os.pathsep.join(folders)) if folders else None
    # Windows looks into the working folder all the same.
    if found is None or not Path(found).is_absolute():
        return None
    command = [found, *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10, env=environment)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
