"""Importing zoo checkpoints: files as RepDistiller and mdistiller write them, and files that must be refused."""

import argparse
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdbench.inputs.errors import UserError
from kdbench.model import Architecture
from kdbench.store.weights import tensors_sha256
from kdbench.store.zoo import read_zoo_checkpoint
from tests.support import STUDENT

#: STUDENT under a zoo's names: conv1, layer1 … layer4, conv2, fc.
ZOO_KEYS = (
    (r"^conv1\.", "stem."),
    *((rf"^layer{n}\.", f"stages.{n - 1}.") for n in range(1, 5)),
    (r"^conv2\.", "head.neck.0."),
    (r"^fc\.", "head.classifier."),
)
ARCHITECTURE = replace(STUDENT, zoo_keys=ZOO_KEYS)


def weights(num_classes: int = 5) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(ARCHITECTURE.build(num_classes).state_dict())


def zoo_weights(num_classes: int = 5) -> dict[str, Tensor]:
    """`weights` under the zoo's names."""
    ours = [("stem.", "conv1."), ("head.neck.0.", "conv2."), ("head.classifier.", "fc.")]
    ours += [(f"stages.{n - 1}.", f"layer{n}.") for n in range(1, 5)]
    return {
        next(zoo + name.removeprefix(prefix) for prefix, zoo in ours if name.startswith(prefix)): tensor
        for name, tensor in weights(num_classes).items()
    }


def written(tmp_path: Path, checkpoint: Any, **how: Any) -> Path:
    path = tmp_path / "ckpt_epoch_240.pth"
    torch.save(checkpoint, path, **how)
    return path


def refused(path: Path, *parts: str, architecture: Architecture = ARCHITECTURE, num_classes: int = 5) -> None:
    """The file is refused in one line that names it and holds `parts`."""
    with pytest.raises(UserError) as error:
        read_zoo_checkpoint(path, architecture, num_classes)
    for part in (str(path), *parts):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)


OPTIONS = argparse.Namespace(model="resnet8", lr_decay_epochs=[150, 180, 210], learning_rate=0.05, cosine=False)


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"epoch": 240, "accuracy": torch.tensor([74.9])},
        {"opt": OPTIONS},
        {"best_acc": np.float64(74.9), "top5": np.float32(92.1), "epoch": np.int64(240)},
        {"optimizer": torch.optim.SGD([torch.zeros(2, requires_grad=True)], 0.1, momentum=0.9).state_dict()},
    ],
    ids=["nothing", "tensor", "options", "numpy", "optimizer"],
)
@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_checkpoints_as_the_zoos_write_them(tmp_path, beside, new_format):
    path = written(tmp_path, {"model": zoo_weights(), **beside}, _use_new_zipfile_serialization=new_format)
    read = read_zoo_checkpoint(path, ARCHITECTURE, 5)
    assert read.keys() == weights().keys()
    assert tensors_sha256(read) == tensors_sha256(weights())


def test_a_bare_state_dict_and_the_prefix_of_data_parallel(tmp_path):
    bare = read_zoo_checkpoint(written(tmp_path, zoo_weights()), ARCHITECTURE, 5)
    assert tensors_sha256(bare) == tensors_sha256(weights())
    parallel = {f"module.{name}": tensor for name, tensor in zoo_weights().items()}
    read = read_zoo_checkpoint(written(tmp_path, {"model": parallel}), ARCHITECTURE, 5)
    assert tensors_sha256(read) == tensors_sha256(weights())


def test_scalars_pickled_by_numpy_1(tmp_path):
    """NumPy 1 calls the module of its scalars numpy.core.multiarray; the file is otherwise the same."""
    checkpoint = {"model": zoo_weights(), "best_acc": np.float64(74.9)}
    path = written(tmp_path, checkpoint, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"cnumpy._core.multiarray\nscalar\n" in data
    path.write_bytes(data.replace(b"cnumpy._core.multiarray\nscalar\n", b"cnumpy.core.multiarray\nscalar\n"))
    assert tensors_sha256(read_zoo_checkpoint(path, ARCHITECTURE, 5)) == tensors_sha256(weights())


class Attack:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, new_format):
    trace = tmp_path / "trace"
    checkpoint = {"model": zoo_weights(), "opt": Attack(f"touch {trace}")}
    refused(written(tmp_path, checkpoint, _use_new_zipfile_serialization=new_format), "not loaded", "system")
    assert not trace.exists()


def test_code_in_a_plain_pickle_is_refused_and_not_run(tmp_path):
    path, trace = tmp_path / "plain.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Attack(f"touch {trace}"), protocol=2))
    refused(path, "not loaded")
    assert not trace.exists()


@pytest.mark.parametrize("value", [np.zeros(3), Path("a"), np.float16(1)], ids=["array", "path", "float16"])
def test_no_other_type_is_allowed(tmp_path, value):
    refused(written(tmp_path, {"model": zoo_weights(), "beside": value}), "not loaded")


def test_the_allowance_ends_with_the_call(tmp_path):
    path = written(tmp_path, {"model": zoo_weights(), "opt": OPTIONS})
    read_zoo_checkpoint(path, ARCHITECTURE, 5)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "absent.pth", "does not exist")
    refused(tmp_path, "does not exist")


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, new_format, share):
    path = written(tmp_path, {"model": zoo_weights()}, _use_new_zipfile_serialization=new_format)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path)


def test_a_damaged_file_is_refused_or_read_but_never_a_traceback(tmp_path):
    path = written(tmp_path, {"model": zoo_weights(), "opt": OPTIONS}, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    generator = np.random.default_rng(0)
    refusals = 0
    for position in generator.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[position] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read_zoo_checkpoint(path, ARCHITECTURE, 5)
        except UserError:
            refusals += 1
    assert refusals > 30


@pytest.mark.parametrize(
    "checkpoint", [[1, 2], {}, {"model": {}}, {"model": 3}, {"epoch": 3}, {"model": {"conv1.weight": "text"}}]
)
def test_a_file_without_a_state_dict_is_refused(tmp_path, checkpoint):
    refused(written(tmp_path, checkpoint), "no state dict")


def test_another_class_count_is_refused_with_both(tmp_path):
    refused(written(tmp_path, {"model": zoo_weights(num_classes=7)}), "7 classes, not 5")


def test_missing_and_unexpected_tensors_are_named(tmp_path):
    state = zoo_weights()
    state["layer9.0.weight"] = state.pop("conv1.bias")
    refused(written(tmp_path, {"model": state}), "missing: stem.bias", "unexpected: layer9.0.weight", STUDENT.name)


def test_another_architecture_is_refused_and_named_where_the_options_tell(tmp_path):
    state = zoo_weights()
    state["conv1.weight"] = torch.zeros(8, 3, 3, 3)
    path = written(tmp_path, {"model": state, "opt": OPTIONS})
    refused(path, "stem.weight [8, 3, 3, 3] (not [4, 3, 1, 1])", "resnet8", STUDENT.name)


def test_two_tensors_for_one_name_are_refused(tmp_path):
    state = zoo_weights()
    refused(written(tmp_path, {**state, "module.conv1.bias": state["conv1.bias"]}), "twice", "module.conv1.bias")


def test_values_that_are_not_finite_are_refused(tmp_path):
    state = zoo_weights()
    state["conv1.bias"][0] = float("nan")
    refused(written(tmp_path, {"model": state}), "not finite", "stem.bias")
