"""What no reader may stumble over, whatever it reads."""

import functools
import pickle
from pathlib import Path

from tests.inputs.corpus.cases import SUFFIXES, Executes, case, holding


def _pickle(suffix: str, folder: Path, canary: Path) -> Path:
    path = folder / f"file{suffix}"
    path.write_bytes(pickle.dumps(Executes(canary)))
    return path


def _folder(suffix: str, folder: Path, _: Path) -> Path:
    path = folder / f"file{suffix}"
    path.mkdir()
    return path


def _loop(suffix: str, folder: Path, _: Path) -> Path:
    path, other = folder / f"file{suffix}", folder / f"other{suffix}"
    path.symlink_to(other)
    other.symlink_to(path)
    return path


def _long_name(suffix: str, folder: Path, _: Path) -> Path:
    return folder / ("a" * 300 + suffix)


for kind, suffix in SUFFIXES.items():
    case(kind, "a pickle that executes")(functools.partial(_pickle, suffix))
    case(kind, "a directory")(functools.partial(_folder, suffix))
    case(kind, "a loop of links")(functools.partial(_loop, suffix))
    if kind != "checkpoint":  # kdbench names those itself
        case(kind, "a name too long for the system")(functools.partial(_long_name, suffix))
    holding(
        kind, suffix, {"empty": b"", "zeros": bytes(4096), "text": "not what you look for", "no text": b"\xff\xfe\xfd"}
    )
