"""The fenced blocks of a page of the documentation."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what follows that on the opening line, and its text."""

    language: str
    about: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The page's blocks from top to bottom."""
    fences = re.findall(r"^```(\w+) ?(.*?)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [Block(*fence) for fence in fences]
