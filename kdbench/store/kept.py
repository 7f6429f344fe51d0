"""What kdbench can make again and keeps for the next command, as JSON objects.

They lie in the cache folder, `~/.cache/kdbench` where there is a home, which may be removed at any time.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from kdbench.inputs.paths import cache_folder
from kdbench.store.files import NotWritten, write_atomically


def entries(name: str) -> dict[str, Any]:
    """What the file of that name holds, the latest last; nothing if there is none that can be read."""
    try:
        with (cache_folder() / name).open("rb") as file:
            # Without a home it lies where others may write: what they say counts for nothing.
            mine = not hasattr(os, "getuid") or os.fstat(file.fileno()).st_uid == os.getuid()
            found = json.loads(file.read()) if mine else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def add(name: str, new: Mapping[str, Any], *, most: int | None = None, otherwise: str = "") -> None:
    """Put `new` into the file of that name, in place of what has the same keys, and leave the `most` latest.

    Where nothing can be written, as in many containers, a warning says so and what comes of it, `otherwise`, if given.
    """
    # Read again: another process may have kept something else meanwhile.
    after = {key: value for key, value in entries(name).items() if key not in new} | dict(new)
    latest = dict(list(after.items())[-most:] if most else after)
    try:
        write_atomically(cache_folder() / name, json.dumps(latest, indent=1).encode())
    except NotWritten as refused:
        if otherwise:
            logging.getLogger(__name__).warning("%s; %s", refused, otherwise)
