"""An end that was set beforehand."""

from __future__ import annotations

import re
import time

from kdbench.inputs.errors import UserError

_TIME = re.compile(r"(?:(?P<h>[0-9]{1,6})h)?(?:(?P<m>[0-9]{1,6})m)?(?:(?P<s>[0-9]{1,9})s?)?")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


class Deadline:
    """The end of a time such as 30s, 8m, 2h, 1h30m or 90 (seconds), which begins now.

    Raises `UserError` for what is no such time, or none at all.
    """

    def __init__(self, text: str):
        found = _TIME.fullmatch(text.strip())
        seconds = sum(_SECONDS[unit] * int(number or 0) for unit, number in found.groupdict().items()) if found else 0
        if not seconds:
            raise UserError(f"--for takes a time such as 30s, 8m, 2h, 1h30m or 90 (seconds), not '{text}'.")
        self.text = text.strip()
        self._until = time.monotonic() + seconds

    def reached(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until
