"""Checkpoints as other zoos write them."""

import argparse
import functools
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdbench.store import zoo
from tests.inputs.corpus.cases import Executes, case
from tests.inputs.corpus.weights import state, with_classifier, with_first


def _saved(checkpoint: Callable[[Path], Any], new_format: bool, folder: Path, canary: Path) -> Path:
    path = folder / "file.pth"
    torch.save(checkpoint(canary), path, _use_new_zipfile_serialization=new_format)
    return path


class _CodeInState(dict):  # type: ignore[type-arg]
    """A mapping of a class that the reader does not know."""


def _looped() -> list[Any]:
    loop: list[Any] = []
    loop.append({"loop": loop})
    return loop


ZOO: dict[str, Callable[[Path], Any]] = {
    "code beside the weights": lambda canary: {"model": state(), "opt": Executes(canary)},
    "code in the options": lambda canary: {"model": state(), "opt": argparse.Namespace(model=Executes(canary))},
    "code among the weights": lambda canary: {**state(), "x": Executes(canary)},
    "code alone": Executes,
    "a whole network": lambda _: torch.nn.Linear(1, 1),
    "a class of its own": lambda _: _CodeInState(state()),
    "array of objects": lambda canary: {"model": state(), "x": np.array([Executes(canary)], dtype=object)},
    "no state": lambda _: [1, 2, 3],
    "empty state": lambda _: {"model": {}},
    "NaN": lambda _: with_first(lambda tensor: tensor * torch.nan),
    "another shape": lambda _: with_first(lambda tensor: tensor[:1]),
    "sparse": lambda _: with_first(lambda tensor: tensor.to_sparse()),
    "quantised": lambda _: with_first(lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)),
    "without memory": lambda _: with_first(lambda tensor: tensor.to("meta")),
    "code in a list in a mapping": lambda canary: {"nets": [{"model": {**state(), "x": [Executes(canary)]}}]},
    "a list that holds itself": lambda _: _looped(),
    "a tensor too many": lambda _: {
        f"layer{n}.weight": part for n, part in enumerate(torch.zeros(zoo.MAX_TENSORS + 1, 1))
    },
    "two names that are one": lambda _: {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)},
    "two networks that fit": lambda _: {"one": state(), "other": with_first(lambda tensor: tensor + 1)},
    "classes without end": lambda _: with_classifier(lambda tensor: torch.zeros(1).expand(2**40, *tensor.shape[1:])),
    "one number repeated without end": lambda _: with_first(lambda tensor: torch.zeros(1).expand(2**40)),
}
for name, checkpoint in ZOO.items():
    for form, new in (("zip", True), ("legacy", False)):
        case("zoo", f"{name}, {form}")(functools.partial(_saved, checkpoint, new))


def _repacked(change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None], folder: Path, canary: Path) -> Path:
    """A sound checkpoint's entries written by `change` into another zip."""
    sound = _saved(lambda _: state(), True, folder, canary)
    path = folder / "repacked.pth"
    with zipfile.ZipFile(sound) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        change(old, new)
    sound.unlink()
    return path


def _bomb(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
    for entry in old.namelist():
        new.writestr(entry, bytes(20_000_000) if entry.endswith("data/0") else old.read(entry))


def _climbing(old: zipfile.ZipFile, new: zipfile.ZipFile) -> None:
    for entry in old.namelist():
        new.writestr(f"../../{entry}", old.read(entry))


case("zoo", "zip bomb")(functools.partial(_repacked, _bomb))
case("zoo", "zip whose entries climb")(functools.partial(_repacked, _climbing))


@case("zoo", "tar of the oldest format, with names that climb")
def _tar(folder: Path, _: Path) -> Path:
    path = folder / "file.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "../../climbed"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


@case("zoo", "tar of checkpoints, packed, that unpacks without end")
def _packed(folder: Path, _: Path) -> Path:
    path = folder / "file.pth"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("zoo/last.pth")
        member.size = 20_000_000
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path
