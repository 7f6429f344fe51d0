"""Malicious and damaged files, each made when a test asks for it.

A maker gets an empty folder and the path of a canary, which exists afterwards only if something from the file was
executed, and returns the path to give to the reader of its kind.
"""

import argparse
import functools
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save

from kdbench.store.weights import tensors_sha256
from tests.cli.support import TINY_GRID
from tests.data.support import png, random_split, write_parquet, write_split
from tests.inputs.support import CLASSES, network, run_of_records
from tests.support import STUDENT

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


# What no reader may stumble over, of whatever kind.

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
    case(kind, "a name too long for the system")(functools.partial(_long_name, suffix))
    holding(
        kind, suffix, {"empty": b"", "zeros": bytes(4096), "text": "not what you look for", "no text": b"\xff\xfe\xfd"}
    )


# Grids

_DEEP = 100_000
ROWS = "rows: [" + 600 * "{method: kd}, "
holding(
    "grid",
    ".yaml",
    {
        "deep": "[" * _DEEP,
        "deep mappings": "{a: " * 1000 + "1" + "}" * 1000,
        "alias bomb": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklm")),
        "recursive alias": "a: &a [*a]",
        "merge key": "x: &x {a: 1}\ny:\n  <<: *x",
        "python object": "!!python/object/apply:os.mkdir [canary]",
        "python name": "recipe: !!python/name:os.system",
        "unknown tag": "!evil {a: 1}",
        "more than a megabyte": "#" * 1_000_001,
        "wrong bool": "recipe: !!bool maybe",
        "wrong time": "recipe: !!timestamp never",
        "no such day": "recipe: 2001-99-99",
        "wrong integer": "recipe: !!int ''",
        "a list": "- 1",
        "number as key": TINY_GRID + "\n1: 2",
        "list as key": "? [1, 2]\n: 3",
        "two documents": TINY_GRID + "\n---\na: 1",
        "a control character": b"a: \x1b[2J",
        "huge integer": TINY_GRID.replace("[0, 1]", "[" + "9" * 5000 + "]"),
        "a hundred thousand runs": TINY_GRID.replace("[0, 1]", str([*range(200)])).replace("rows: [", ROWS),
        "name that climbs": TINY_GRID.replace("name: first", "name: ../../first"),
        "name of a device": TINY_GRID.replace("name: first", "name: nul"),
        "grid named as a path": TINY_GRID + "\nname: /etc/kdbench",
        "variant that climbs": TINY_GRID.replace("{method: kd,", "{method: kd, variant: a/../b,"),
        "unknown data set": TINY_GRID.replace("digits", "../digits"),
        "data set with a NUL": TINY_GRID.replace("digits", '"parquet:a\\0b"'),
        "data set with a long path": TINY_GRID.replace("digits", "parquet:" + "a" * 5000),
        "recipe by path": TINY_GRID.replace("{epochs: 2", "{base: ../../etc/passwd, epochs: 2"),
        "recipe of lists": TINY_GRID.replace("epochs: 2", "epochs: [2]"),
        "infinite rate": TINY_GRID.replace("epochs: 2", "lr: .inf, epochs: 2"),
        "rate that is no number": TINY_GRID.replace("epochs: 2", "lr: .nan, epochs: 2"),
        "padding of gigabytes": TINY_GRID.replace("crop_padding: 1", "crop_padding: 1000000000"),
        "unknown method": TINY_GRID.replace("method: kd", "method: __import__"),
        "parameter of the wrong kind": TINY_GRID.replace("method: kd", "method: kd, params: {temperature: {}}"),
        "parameter that is no text": TINY_GRID.replace("method: kd", "method: kd, params: {1: 2}"),
        "paper by path": TINY_GRID.replace("title:", "paper: ../../x\n    title:"),
    },
)  # fmt: skip

# Baselines and records

holding(
    "baseline",
    ".json",
    {"deep": "[" * _DEEP, "deep objects": '{"a":' * _DEEP, "other keys": '{"kind": "kdbench baseline"}'},
)

RECORD_LIKE = {"id": "0" * 16, "status": "done", "run": {}}
holding(
    "record",
    ".json",
    {
        "deep": "[" * _DEEP,
        "deep objects": '{"a":' * _DEEP,
        "other keys": json.dumps(RECORD_LIKE),
        "huge number": '{"format": ' + "9" * 10_000 + "}",
        "number with an exponent": '{"format": 1e999999}',
        "key twice": '{"id": "a", "id": "b"}',
    },
)


# Weights and checkpoints


def _state() -> dict[str, torch.Tensor]:
    return dict(network().state_dict())


def _weights(tensors: dict[str, torch.Tensor], **metadata: str) -> bytes:
    own = {"architecture": STUDENT.name, "num_classes": str(CLASSES), "sha256": tensors_sha256(tensors)}
    return save(tensors, {**own, **metadata})


def _header(content: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def _with_first(change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    state = _state()
    first = next(iter(state))
    return {**state, first: change(state[first])}


_TENSOR = '"a": {"dtype": "F32", "shape": %s, "data_offsets": %s}'
HEADERS = {
    "header of 2^63 bytes": _header(b"{}", 2**63 - 1),
    "header longer than the file": _header(b"{}", 10_000),
    "deep header": _header(b"[" * _DEEP),
    "header that is a list": _header(b"[]"),
    "tensor beyond the end": _header(f"{{{_TENSOR % ('[10]', '[0, 40]')}}}".encode()),
    "tensor of exabytes": _header(f"{{{_TENSOR % ('[4294967296, 4294967296]', '[0, 4]')}}}".encode(), data=bytes(4)),
    "negative shape": _header(f"{{{_TENSOR % ('[-1]', '[0, 4]')}}}".encode(), data=bytes(4)),
    "offsets in the wrong order": _header(f"{{{_TENSOR % ('[1]', '[4, 0]')}}}".encode(), data=bytes(4)),
    "no tensors": save({}, {"architecture": STUDENT.name}),
    "only strange tensors": save({"../../up": torch.zeros(1)}, {"progress": "{}"}),
}  # fmt: skip
for kind in ("weights", "checkpoint"):
    holding(kind, ".safetensors", HEADERS)
holding(
    "weights",
    ".safetensors",
    {
        "NaN": _weights(_with_first(lambda tensor: tensor * torch.nan)),
        "infinity": _weights(_with_first(lambda tensor: tensor + torch.inf)),
        "another shape": _weights(_with_first(lambda tensor: tensor[:1])),
        "another kind": _weights(_with_first(lambda tensor: tensor.int())),
        "complex numbers": _weights(_with_first(lambda tensor: tensor.to(torch.complex64))),
        "four bits": _weights(_with_first(lambda tensor: tensor.to(torch.uint8).view(torch.float4_e2m1fn_x2))),
        "other names": _weights({f"x.{name}": tensor for name, tensor in _state().items()}),
        "another network": _weights(_state(), architecture="../resnet8"),
        "other classes": _weights(dict(STUDENT.build(CLASSES + 1).state_dict())),
        "another digest": _weights(_state(), sha256="0" * 64),
        "accuracy that is none": _weights(_state(), **{"top1 digits": "nan"}),
        "truncated": _weights(_state())[:-7],
        "no metadata": save(_state()),
    },
)  # fmt: skip
holding(
    "checkpoint",
    ".safetensors",
    {
        f"progress: {name}": save({"a": torch.zeros(1)}, {"progress": text})
        for name, text in {
            "no JSON": "{",
            "a list": "[]",
            "of another run": json.dumps({"run_id": "0" * 16}),
            "unknown keys": json.dumps({"run_id": run_of_records().id, "__class__": "os"}),
            "wrong kinds": json.dumps({"run_id": run_of_records().id, "epoch": "first"}),
            "right, with other tensors": json.dumps({"run_id": run_of_records().id}),
            "deep": "[" * _DEEP,
        }.items()
    },
)


# Checkpoints of other zoos


def _saved(checkpoint: Callable[[Path], Any], new_format: bool, folder: Path, canary: Path) -> Path:
    path = folder / "file.pth"
    torch.save(checkpoint(canary), path, _use_new_zipfile_serialization=new_format)
    return path


class _CodeInState(dict):  # type: ignore[type-arg]
    """A mapping of a class that the reader does not know."""


ZOO: dict[str, Callable[[Path], Any]] = {
    "code beside the weights": lambda canary: {"model": _state(), "opt": Executes(canary)},
    "code in the options": lambda canary: {"model": _state(), "opt": argparse.Namespace(model=Executes(canary))},
    "code among the weights": lambda canary: {**_state(), "x": Executes(canary)},
    "code alone": Executes,
    "a whole network": lambda _: torch.nn.Linear(1, 1),
    "a class of its own": lambda _: _CodeInState(_state()),
    "array of objects": lambda canary: {"model": _state(), "x": np.array([Executes(canary)], dtype=object)},
    "no state": lambda _: [1, 2, 3],
    "empty state": lambda _: {"model": {}},
    "NaN": lambda _: _with_first(lambda tensor: tensor * torch.nan),
    "another shape": lambda _: _with_first(lambda tensor: tensor[:1]),
    "sparse": lambda _: _with_first(lambda tensor: tensor.to_sparse()),
    "quantised": lambda _: _with_first(lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)),
    "without memory": lambda _: _with_first(lambda tensor: tensor.to("meta")),
    "one number repeated without end": lambda _: _with_first(lambda tensor: torch.zeros(1).expand(2**40)),
}
for name, checkpoint in ZOO.items():
    for form, new in (("zip", True), ("legacy", False)):
        case("zoo", f"{name}, {form}")(functools.partial(_saved, checkpoint, new))


def _repacked(change: Callable[[zipfile.ZipFile, zipfile.ZipFile], None], folder: Path, canary: Path) -> Path:
    """A sound checkpoint's entries written by `change` into another zip."""
    sound = _saved(lambda _: _state(), True, folder, canary)
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


# Parquet

SIDE = 6
SOUND = [png(image.numpy()) for image in random_split(3, SIDE).images]


def _data_set(write: Callable[[Path], None], folder: Path, _: Path) -> Path:
    """A folder whose training file is written by `write`, and whose test file is sound."""
    write(folder / "train.parquet")
    write_split(folder / "test.parquet", random_split(5, SIDE))
    return folder


def _image(data: bytes) -> Callable[[Path], None]:
    return lambda path: write_parquet(path, [*SOUND, data], [0] * 4)


def _claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with the checksum that belongs to it."""
    data = bytearray(SOUND[0])
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _large_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (6000, 6000)).save(buffer, "PNG")
    return buffer.getvalue()


def _text_bomb() -> bytes:
    buffer, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 80_000_000, zip=True)
    Image.new("RGB", (SIDE, SIDE)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _dictionary_bomb(path: Path) -> None:
    """Thousands of rows that share one value of 100 kB, which the file holds once."""
    row = pa.array(
        [{"bytes": bytes(100_000), "path": None}], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3000, np.int32)), row.field("bytes"))
    table = pa.table({"image": pa.StructArray.from_arrays([repeated], ["bytes"]), "label": np.zeros(3000, np.int64)})
    pa.parquet.write_table(table.cast(table.schema), path, store_schema=False)


def _many_rows(path: Path) -> None:
    """Six million labels in a file of kilobytes."""
    empty = pa.nulls(6_000_000, pa.struct([("bytes", pa.binary())]))
    pa.parquet.write_table(pa.table({"image": empty, "label": np.zeros(6_000_000, np.int8)}), path)


PARQUET: dict[str, Callable[[Path], None]] = {
    "image that claims 50,000 pixels a side": _image(_claiming(50_000, 50_000)),
    "image of one row of pixels": _image(_claiming(2**31 - 1, 1)),
    "image of no pixels": _image(_claiming(0, 0)),
    "image of 36 million pixels": lambda path: write_parquet(path, [_large_png()] * 2, [0, 1]),
    "text bomb in an image": lambda path: write_parquet(path, [_text_bomb()] * 2, [0, 1]),
    "image with code": _image(pickle.dumps(Executes(Path("canary")))),
    "PostScript as image": _image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n(%pipe%mkdir canary) (w) file\n"),
    "image cut short": _image(SOUND[0][:-20]),
    "image of more bytes than it can need": _image(SOUND[0] + bytes(20_000_000)),
    "dictionary bomb": _dictionary_bomb,
    "more rows than a split may have": _many_rows,
    "text instead of images": lambda path: pa.parquet.write_table(pa.table({"image": ["a"], "label": [1]}), path),
    "no rows": lambda path: write_parquet(path, [], []),
    "label of a million classes": lambda path: write_parquet(path, SOUND, [0, 1, 10**6]),
    "label below zero": lambda path: write_parquet(path, SOUND, [0, -1, 1]),
    "label beyond 63 bits": lambda path: write_parquet(path, SOUND, [0, 2**64 - 1, 1], label_type=pa.uint64()),
    "metadata that are no JSON": lambda path: write_parquet(path, SOUND, [0, 1, 2], metadata=b"\xff{"),
    "deep metadata": lambda path: write_parquet(path, SOUND, [0, 1, 2], metadata=b"[" * _DEEP),
    "a pickle that executes": lambda path: path.write_bytes(pickle.dumps(Executes(path.parent / "canary"))) and None,
    "a directory": lambda path: path.mkdir(),
    "a loop of links": lambda path: path.symlink_to(path),
    "empty": lambda path: path.write_bytes(b"") and None,
    "only its magic": lambda path: path.write_bytes(b"PAR1" * 4) and None,
    "footer of 2 GiB": lambda path: path.write_bytes(b"PAR1" + struct.pack("<i", 2**31 - 1) + b"PAR1") and None,
}  # fmt: skip
for name, write in PARQUET.items():
    case("parquet", name)(functools.partial(_data_set, write))
