"""Which kinds of figure there are, and the files they may become."""

from typing import Literal

KINDS = ("curves", "forest", "cost", "diagnostics", "terms")
Format = Literal["svg", "png"]
