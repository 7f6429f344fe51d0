"""A console for lines and progress bars."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from kdbench.inputs.streams import Filter, own_output
from kdbench.inputs.visible import visible


class Terminal(Console):
    """A rich console for plain lines and progress bars; text is shown as it is, without markup or wrapping.

    rich draws with control characters, so it writes past the filter, and texts go through it here.
    """

    def __init__(self, *, stderr: bool = False):
        stream: Any = sys.stderr if stderr else own_output()
        file: Any = stream.unfiltered if isinstance(stream, Filter) else stream
        super().__init__(file=file, soft_wrap=True, highlight=False, markup=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print with the control characters of texts made visible."""
        super().print(*(visible(text) if isinstance(text, str) else text for text in objects), **how)
