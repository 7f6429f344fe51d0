"""Which parquet files of a folder are which split: the layouts of Hugging Face's hub, and what people make of them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kdbench.inputs.errors import UserError

#: What the files of the test images may begin with; the first kind that is there and labelled counts.
HELD_OUT = ("test", "validation", "valid", "val")
#: Files that a split may have.
MAX_FILES = 10_000
#: How a file says that it is one of several.
PART = re.compile(r"-(\d+)-of-(\d+)")
#: How many names a sentence quotes.
NAMED = 3


@dataclass(frozen=True)
class Files:
    """The files of `place`: of the training split, and by name those of each held-out one, the preferred first."""

    place: Path
    train: list[Path]
    held_out: dict[str, list[Path]]


def find_files(folder: Path, spec: str) -> Files:
    """The splits of a folder: in itself, in `data`, or in the folder of its only configuration.

    `spec` is what the user called it. Raises `UserError` where there is none, where a split is incomplete or there
    twice, and where there are several configurations.
    """
    try:
        if found := _in_itself(folder):
            return _checked(found)
        configurations = [found for place in _subfolders(folder) if (found := _in_itself(place))]
        if len(configurations) > 1:
            names = ", ".join(str(found.place.relative_to(folder)) for found in configurations)
            raise UserError(f"{folder} holds several configurations ({names}); name one of them, as in {spec}/NAME.")
        if configurations:
            return _checked(configurations[0])
        raise UserError(
            f"data set '{spec}': {folder}, its subfolder data and its other subfolders hold no train*.parquet with a "
            f"{' or '.join(f'{name}*.parquet' for name in HELD_OUT)} beside it{_there(folder)}; check the path."
        )
    # A path that the system cannot even look for.
    except (OSError, ValueError) as error:
        raise UserError(f"the folder of a data set cannot be read: {error!s:.200}; check the path.") from error


def _in_itself(folder: Path) -> Files | None:
    return _splits(folder) or _splits(folder / "data")


def _splits(place: Path) -> Files | None:
    """The splits of one place: files that begin with their names, or folders called so; None without both kinds."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    if not place.is_dir():
        return None
    names = ("train", *HELD_OUT)
    for path in sorted(place.glob("*.parquet")):
        if name := max((name for name in names if path.name.startswith(name)), key=len, default=None):
            by_name[name].append(path)
    for name in names:
        if inside := sorted((place / name).glob("*.parquet")):
            by_name[name] += inside
    held_out = {name: by_name[name] for name in HELD_OUT if name in by_name}
    return Files(place, by_name["train"], held_out) if "train" in by_name and held_out else None


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _there(folder: Path) -> str:
    """The parquet files that there are instead, as the end of a sentence."""
    paths = (path for pattern in ("*.parquet", "*/*.parquet", "*/*/*.parquet") for path in folder.glob(pattern))
    found = [str(path.relative_to(folder)) for path in islice(paths, NAMED + 1)]
    more = " and others" if len(found) > NAMED else ""
    return f", but {', '.join(found[:NAMED])}{more}" if found else ""


def _checked(files: Files) -> Files:
    for paths in (files.train, *files.held_out.values()):
        if len(paths) > MAX_FILES:
            raise UserError(
                f"{paths[0]} and its like are {len(paths):,} files; a split may have {MAX_FILES:,}; join some."
            )
        _check_whole(paths)
        _check_once(paths)
    return files


def _check_whole(paths: Sequence[Path]) -> None:
    """Refuse a download that ended early: what is left of a split would train without a word."""
    there: dict[tuple[str, int], set[int]] = defaultdict(set)
    for path in paths:
        if part := PART.search(path.name):
            there[path.name[: part.start()], int(part[2])].add(int(part[1]))
    for (name, count), found in there.items():
        if len(found) < count:
            raise UserError(
                f"{paths[0].parent} has {len(found)} of the {count} files {name}-…-of-{count:05}; download the others, "
                "or rename those that are there if no more are wanted."
            )


def _check_once(paths: Sequence[Path]) -> None:
    """Refuse files that hold the same images twice: a whole split beside its parts, or a copy."""
    kinds: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in paths:
        part = PART.search(path.name)
        kinds[path.parent, f"{path.name[: part.start()]}-of-{part[2]}" if part else ""].append(path)
    parted = [kind for _, kind in kinds if kind]
    if parted and len(kinds) > 1:
        first, second, *_ = (files[0] for files in kinds.values())
        raise UserError(
            f"{first} and {second} may hold the same images, which would count twice; leave the files of one kind."
        )
    first_with: dict[tuple[int, str], Path] = {}
    sizes = Counter(path.stat().st_size for path in paths)
    for path in paths:
        if sizes[size := path.stat().st_size] > 1:
            with path.open("rb") as file:
                content = size, hashlib.file_digest(file, "sha256").hexdigest()
            if (other := first_with.setdefault(content, path)) != path:
                raise UserError(f"{other} and {path} are the same, which would count twice; take one of them away.")
