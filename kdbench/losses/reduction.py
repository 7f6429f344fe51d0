"""How per-sample losses become one."""

from typing import Literal

Reduction = Literal["mean", "none"]
