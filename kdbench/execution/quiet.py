"""What libraries say of themselves, which is for their developers."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Inside the context, no warning of a library is shown, with a path and a line of its code, unless Python was told
    to (`python -W`, PYTHONWARNINGS); nor what it logs below an error. What matters to the user is ours to say.
    """
    shown, log = warnings.showwarning, logging.getLogger()
    level, ours = log.level, logging.getLogger(__name__.partition(".")[0])
    own = ours.level
    if not sys.warnoptions:
        warnings.showwarning = lambda *_, **__: None
        log.setLevel(logging.ERROR)
        ours.setLevel(logging.WARNING)
    try:
        yield
    finally:
        warnings.showwarning = shown
        log.setLevel(level)
        ours.setLevel(own)
