"""Errors a user can mend."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What is wrong, where, and what to do, in one sentence; the command line prints it and exits with code 2."""

    def __str__(self) -> str:
        # One line, whatever the names in it hold.
        return super().__str__().replace("\n", r"\n")


def unknown(kind: str, name: str, known: Iterable[str], listing: str | None = None) -> UserError:
    """The error for a name that is not registered: names the nearest one and the command that lists all."""
    return UserError(f"unknown {kind} '{name}'{_known(name, known, listing)}")


def lacking(owner: str, kind: str, name: str, known: Iterable[str], listing: str | None = None) -> UserError:
    """The same for a name that `owner` does not have, such as a key."""
    return UserError(f"{owner} has no {kind} '{name}'{_known(name, known, listing)}")


def _known(name: str, known: Iterable[str], listing: str | None) -> str:
    names = sorted(known)
    by_lower = {candidate.lower(): candidate for candidate in names}
    begun = [candidate for candidate in by_lower if name and candidate.startswith(name.lower())]
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6) or begun
    guess = f"; did you mean '{by_lower[near[0]]}'?" if near else f"; known: {', '.join(names) or 'none'}."
    hint = f" `{listing}` lists them." if listing else ""
    return guess + hint
