"""Importing zoo checkpoints: files as RepDistiller and mdistiller write them, and files that must be refused."""

import argparse
import os
import pickle
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from kdbench.inputs.errors import UserError
from kdbench.model import Architecture
from kdbench.store.weights import save_weights, tensors_sha256
from kdbench.store.zoo import read_zoo_checkpoint
from kdbench_architectures import NETWORKS
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
    assert read_from(path) == "model."


def read_from(path: Path, prefix: str | None = None) -> str:
    """What the names of the weights in a file begin with; they are `weights`."""
    read = read_zoo_checkpoint(path, ARCHITECTURE, 5, prefix)
    assert read.tensors.keys() == weights().keys()
    assert tensors_sha256(read.tensors) == tensors_sha256(weights())
    return read.prefix


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other_weights() -> dict[str, Tensor]:
    """Weights of the same network that are not `zoo_weights`."""
    return {name: tensor + 1 for name, tensor in zoo_weights().items()}


@pytest.mark.parametrize(
    ("prefix", "place"),
    [
        ("", lambda state: state),
        ("", lambda state: {**state, "epoch": 3}),
        ("net.", lambda state: {"net": state, "acc": 70.0, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}),
        ("model.module.student.", lambda state: {"model": prefixed("module.student.", state)}),
        ("module.model.", lambda state: prefixed("module.model.", state)),
        ("_orig_mod.module.module.", lambda state: prefixed("_orig_mod.module.module.", state)),
        ("state_dict.model.", lambda state: {"state_dict": prefixed("model.", state), "callbacks": {}}),
        ("runs.0.best.model_ema.", lambda state: {"runs": [{"best": {"model_ema": state}}]}),
        # A network of other shapes beside it, and the parts of a loss.
        (
            "state_dict.student.",
            lambda state: {
                "state_dict": {
                    **prefixed("student.", state),
                    **{
                        name: tensor.repeat(2)
                        for name, tensor in prefixed("teacher.", state).items()
                        if tensor.ndim == 1
                    },
                    "criterion.weight": torch.ones(5),
                }
            },
        ),
        # The same weights twice are no question.
        ("model.", lambda state: {"model": state, "model_ema": dict(state)}),
    ],
)
def test_a_network_is_found_wherever_its_names_and_shapes_stand(tmp_path, prefix, place):
    assert read_from(written(tmp_path, place(zoo_weights()))) == prefix


@pytest.mark.parametrize(
    "prefix", ["", "state_dict.", "model.", "model_ema.", "module.", "state_dict.module._orig_mod."]
)
def test_files_without_the_counts_of_batch_norms_are_read(tmp_path, prefix):
    # As torchvision's oldest are, and PyTorch itself reads them.
    architecture = next(known for known in NETWORKS if known.name == "resnet8")
    ours = architecture.build(5).state_dict()
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    assert len(names) < len(ours)
    path = written(tmp_path, prefixed(prefix, {name: ours[name] for name in names}))
    read = read_zoo_checkpoint(path, architecture, 5)
    assert read.prefix == prefix
    assert read.tensors.keys() == ours.keys()
    assert all(torch.equal(tensor, read.tensors[name]) for name, tensor in ours.items())


def test_of_several_networks_that_fit_one_is_chosen(tmp_path):
    path = written(tmp_path, {"state_dict": other_weights(), "state_dict_ema": zoo_weights(), "epoch": 9})
    refused(path, "several tiny_student, behind 'state_dict.', 'state_dict_ema.'; choose one with --prefix")
    assert read_from(path, "state_dict_ema") == read_from(path, "state_dict_ema.") == "state_dict_ema."
    with pytest.raises(
        UserError, match=r"not hold the network behind 'ema', but behind 'state_dict\.', 'state_dict_ema"
    ):
        read_from(path, "ema")
    # One of them may stand among the keys of the other.
    path = written(tmp_path, {**zoo_weights(), "ema": other_weights()})
    refused(path, "several tiny_student, behind '', 'ema.'")
    assert read_from(path, "") == ""


def test_a_file_of_safetensors_is_read_unless_it_is_kdbenchs_own(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file(prefixed("module.", zoo_weights()), path)
    assert read_from(path) == "module."
    path.unlink()
    save_weights(weights(), path, ARCHITECTURE.name, 5, {})
    refused(path, "is a weights file of kdbench's already; give it to --teacher as it is")


def test_archives_folders_and_programs_are_called_what_they_are(tmp_path):
    path = written(tmp_path, zoo_weights())
    refused(tmp_path, f"is a folder; give one of its files, such as {path}")
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", "is a folder", "none that looks like a checkpoint")
    for mode in ("w", "w:gz"):
        with tarfile.open(tmp_path / "zoo.tar", mode) as archive:
            archive.add(path, "zoo/resnet20/last.pth")
        refused(tmp_path / "zoo.tar", "is an archive of files, such as zoo/resnet20/last.pth; unpack it (tar xf)")
    with zipfile.ZipFile(tmp_path / "zoo.zip", "w") as archive:
        archive.write(path, "last.pth")
    refused(tmp_path / "zoo.zip", "is an archive of files, such as last.pth; unpack it (unzip)")
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        archive.writestr("program/constants.pkl", b"")
    refused(tmp_path / "program.pt", "is a TorchScript program, which is not loaded; save its state_dict()")


def test_a_file_of_something_else_is_told_with_what_it_has_and_what_is_wanted(tmp_path):
    path = written(tmp_path, {"encoder": {"embedding": torch.ones(7, 2)}, "epoch": 3})
    refused(
        path, "holds nothing of tiny_student: its tensors are encoder.embedding [7, 2], and tiny_student would want"
    )
    refused(written(tmp_path, {"epoch": 3, "opt": {}}), "no state dict, but the keys epoch, opt;")
    refused(written(tmp_path, [3]), "no state dict, but a list;")


def test_scalars_pickled_by_numpy_1(tmp_path):
    """NumPy 1 calls the module of its scalars numpy.core.multiarray; the file is otherwise the same."""
    checkpoint = {"model": zoo_weights(), "best_acc": np.float64(74.9)}
    path = written(tmp_path, checkpoint, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"cnumpy._core.multiarray\nscalar\n" in data
    path.write_bytes(data.replace(b"cnumpy._core.multiarray\nscalar\n", b"cnumpy.core.multiarray\nscalar\n"))
    assert read_from(path) == "model."


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
    refused(written(tmp_path, {"model": zoo_weights(num_classes=7)}), "7 classes, not 5; say --num-classes 7")
    # That it is no such network at all is the better news.
    state = zoo_weights(num_classes=7)
    state["conv1.weight"] = torch.zeros(8, 3, 3, 3)
    refused(written(tmp_path, {"model": state}), "does not fit tiny_student (of another shape or kind: stem.weight")


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
    refused(written(tmp_path, {**state, "stem.bias": state["conv1.bias"]}), "stem.bias twice")


def test_values_that_are_not_finite_are_refused(tmp_path):
    state = zoo_weights()
    state["conv1.bias"][0] = float("nan")
    refused(written(tmp_path, {"model": state}), "not finite", "stem.bias")
