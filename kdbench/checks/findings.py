"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: `not reached`: a check before it failed. `opted out`: the method says so. `declined`: the pair is not for the method.
Status = Literal["passed", "failed", "declined", "opted out", "not reached", "not applicable"]


class Fault(Exception):
    """What is wrong with a method, and what its author can do about it.

    `check` is the name of the check whose matter it is, where something goes wrong before any check asks for it.
    """

    def __init__(self, reason: str, advice: str, check: str = ""):
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.check = check


class Exempt(Exception):
    """Why a check does not judge a method."""

    def __init__(self, status: Status, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Finding:
    """One check of one method on one pair; `reason` and `advice` are empty where it passed."""

    method: str
    check: str
    pair: str
    status: Status
    reason: str = ""
    advice: str = ""
