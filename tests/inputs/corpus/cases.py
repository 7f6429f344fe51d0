"""What a case of the corpus is."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Maker = Callable[[Path, Path], Path]
#: (kind, name) → maker.
CORPUS: dict[tuple[str, str], Maker] = {}


def case(kind: str, name: str) -> Callable[[Maker], Maker]:
    """Put a maker into the corpus."""

    def put(maker: Maker) -> Maker:
        assert (kind, name) not in CORPUS
        CORPUS[kind, name] = maker
        return maker

    return put


def holding(kind: str, suffix: str, contents: dict[str, bytes | str]) -> None:
    """Cases that are one file each."""
    for name, content in contents.items():
        data = content if isinstance(content, bytes) else content.encode()
        case(kind, name)(functools.partial(_one_file, suffix, data))


def _one_file(suffix: str, data: bytes, folder: Path, _: Path) -> Path:
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    return path


#: Levels that no parser follows.
DEEP = 100_000

SUFFIXES = {
    "grid": ".yaml",
    "baseline": ".json",
    "record": ".json",
    "checkpoint": ".safetensors",
    "weights": ".safetensors",
    "zoo": ".pth",
}


class Executes:
    """Makes the canary where it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)
