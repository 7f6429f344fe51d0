"""Weights files: what is saved comes back, and whatever does not fit is refused in a sentence."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kdbench.inputs.errors import UserError
from kdbench.model import StagedModel
from kdbench.store.weights import load_weights, read_metadata, save_weights, tensors_sha256
from tests.support import STUDENT, TEACHER


def network(seed: int = 0, num_classes: int = 5) -> StagedModel:
    torch.manual_seed(seed)
    return STUDENT.build(num_classes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of `network()`."""
    path = tmp_path / "weights.safetensors"
    save_weights(network(), path, STUDENT.name, 5, {"source": "a test"})
    return path


def rewrite(path: Path, *, tensors: dict[str, Tensor] | None = None, metadata: dict[str, str] | None = None) -> None:
    """Put other tensors into the file, with a matching digest, or other metadata."""
    tensors = network().state_dict() if tensors is None else tensors
    save_file(tensors, path, {**read_metadata(path), "sha256": tensors_sha256(tensors), **(metadata or {})})


def refused(path: Path, *parts: str, model: StagedModel | None = None, architecture: str = STUDENT.name) -> None:
    """The file is refused in one line that names it and holds `parts`, and the model stays as it was."""
    model = model or network(seed=1)
    before = tensors_sha256(model.state_dict())
    with pytest.raises(UserError) as error:
        load_weights(model, path, architecture)
    for part in (str(path), *parts):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert tensors_sha256(model.state_dict()) == before


def test_round_trip(path):
    model = network(seed=1)
    metadata = load_weights(model, path, STUDENT.name)
    assert tensors_sha256(model.state_dict()) == tensors_sha256(network().state_dict())
    assert metadata == read_metadata(path)
    assert metadata == {
        "architecture": STUDENT.name,
        "num_classes": "5",
        "sha256": tensors_sha256(model.state_dict()),
        "source": "a test",
    }


def test_a_state_dict_in_another_memory_format_gives_the_same_weights(tmp_path, path):
    state = network().to(memory_format=torch.channels_last).state_dict()
    other = tmp_path / "other.safetensors"
    assert save_weights(state, other, STUDENT.name, 5, {"source": "a test"}) == read_metadata(path)["sha256"]
    assert load_weights(network(seed=1), other, STUDENT.name) == read_metadata(path)


def test_a_module_with_two_names_comes_back_under_both(tmp_path):
    tied, model = (nn.ModuleList(2 * [nn.Linear(2, 3)]) for _ in range(2))
    save_weights(tied, tmp_path / "tied.safetensors", "tied", 3, {})
    load_weights(model, tmp_path / "tied.safetensors", "tied")
    assert tensors_sha256(model.state_dict()) == tensors_sha256(tied.state_dict())


def test_the_digest_depends_on_names_dtypes_shapes_and_values_alone():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    digest = tensors_sha256(tensors)
    assert digest == tensors_sha256({"b": tensors["b"], "a": tensors["a"].t().contiguous().t()})
    others = [
        {"c": tensors["a"], "b": tensors["b"]},
        {"a": tensors["a"].double(), "b": tensors["b"]},
        {"a": tensors["a"].view(torch.int32), "b": tensors["b"]},
        {"a": tensors["a"].reshape(3, 2), "b": tensors["b"]},
        {"a": -tensors["a"], "b": tensors["b"]},
        {"a": tensors["a"]},
    ]
    assert len({digest, *map(tensors_sha256, others)}) == 1 + len(others)


def test_a_file_is_overwritten_only_when_told(path):
    before = path.read_bytes()
    with pytest.raises(UserError, match="already exists"):
        save_weights(network(seed=1), path, STUDENT.name, 5, {})
    assert path.read_bytes() == before
    save_weights(network(seed=1), path, STUDENT.name, 5, {}, overwrite=True)
    assert path.read_bytes() != before
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / "absent.safetensors", "does not exist")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, "not a readable safetensors file")


def test_a_file_of_another_kind_is_refused(path):
    path.write_bytes(b"\x80\x02}q\x00." * 100)
    refused(path, f"is a file of torch.save, not a safetensors file; make one of it: `kdbench teachers import {path} ")
    header = json.dumps({"__metadata__": {"a": 1}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    refused(path, "not a readable safetensors file")


def test_a_flipped_bit_is_refused(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    refused(path, "sha256")


def test_a_file_that_does_not_say_what_it_is_is_refused(path):
    save_file(network().state_dict(), path, {"architecture": STUDENT.name})
    refused(path, "num_classes, sha256")
    save_file(network().state_dict(), path)
    refused(path, "architecture, num_classes, sha256")


def test_another_architecture_is_refused(path):
    refused(path, STUDENT.name, TEACHER.name, model=TEACHER.build(5), architecture=TEACHER.name)


def test_another_class_count_is_refused(path):
    refused(path, "5 classes, not 6", model=network(num_classes=6))


def test_other_names_and_shapes_are_refused_and_a_few_named(path):
    state = network().state_dict()
    del state["stem.bias"]
    rewrite(path, tensors={**state, "extra": torch.zeros(1)})
    refused(path, "missing: stem.bias", "unexpected: extra")
    rewrite(path, tensors={**network().state_dict(), "stem.weight": torch.zeros(4, 3, 3, 3)})
    refused(path, "stem.weight [4, 3, 3, 3] (not [4, 3, 1, 1])")
    rewrite(path, tensors={**network().state_dict(), "stem.bias": torch.zeros(4, dtype=torch.int64)})
    refused(path, "stem.bias [4] of torch.int64 (not [4])")
    rewrite(path, tensors={"head.classifier.weight": torch.tensor(0.0)})
    refused(path, "missing: stem.weight, stem.bias", "more")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(path, value):
    state = network().state_dict()
    state["stem.weight"][0, 0] = value
    rewrite(path, tensors=state)
    refused(path, "not finite", "stem.weight")


def test_float64_models_take_float32_files(path):
    model = network(seed=1).double()
    load_weights(model, path, STUDENT.name)
    assert torch.equal(model.stem.weight, network().stem.weight.double())


def test_the_model_does_not_depend_on_the_file_afterwards(path):
    model = network(seed=1)
    load_weights(model, path, STUDENT.name)
    path.write_bytes(bytes(path.stat().st_size))
    assert tensors_sha256(model.state_dict()) == tensors_sha256(network().state_dict())
