"""Weights files and checkpoints of our own."""

import json
import struct
from collections.abc import Callable

import torch
from safetensors.torch import save

from kdbench.store.weights import CLASSIFIER, tensors_sha256
from tests.inputs.corpus.cases import DEEP, holding
from tests.inputs.support import CLASSES, network, run_of_records
from tests.support import STUDENT


def state() -> dict[str, torch.Tensor]:
    """The sound state dict of the tests' network."""
    return dict(network().state_dict())


def _weights(tensors: dict[str, torch.Tensor], **metadata: str) -> bytes:
    own = {"architecture": STUDENT.name, "num_classes": str(CLASSES), "sha256": tensors_sha256(tensors)}
    return save(tensors, {**own, **metadata})


def _header(content: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def with_first(change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    """A sound state whose first tensor is changed."""
    sound = state()
    first = next(iter(sound))
    return {**sound, first: change(sound[first])}


def with_classifier(change: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
    """A sound state whose classifier's weight is changed."""
    return {**state(), CLASSIFIER: change(state()[CLASSIFIER])}


_TENSOR = '"a": {"dtype": "F32", "shape": %s, "data_offsets": %s}'
HEADERS = {
    "header of 2^63 bytes": _header(b"{}", 2**63 - 1),
    "header longer than the file": _header(b"{}", 10_000),
    "deep header": _header(b"[" * DEEP),
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
        "NaN": _weights(with_first(lambda tensor: tensor * torch.nan)),
        "infinity": _weights(with_first(lambda tensor: tensor + torch.inf)),
        "another shape": _weights(with_first(lambda tensor: tensor[:1])),
        "another kind": _weights(with_first(lambda tensor: tensor.int())),
        "complex numbers": _weights(with_first(lambda tensor: tensor.to(torch.complex64))),
        "four bits": _weights(with_first(lambda tensor: tensor.to(torch.uint8).view(torch.float4_e2m1fn_x2))),
        "other names": _weights({f"x.{name}": tensor for name, tensor in state().items()}),
        "another network": _weights(state(), architecture="../resnet8"),
        "other classes": _weights(dict(STUDENT.build(CLASSES + 1).state_dict())),
        "another digest": _weights(state(), sha256="0" * 64),
        "accuracy that is none": _weights(state(), **{"top1 digits": "nan"}),
        "truncated": _weights(state())[:-7],
        "no metadata": save(state()),
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
            "deep": "[" * DEEP,
        }.items()
    },
)
