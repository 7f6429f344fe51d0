"""Networks by name, as timm's users expect."""

import pytest
import torch

import kdbench
from kdbench.inputs.errors import UserError
from kdbench.store.weights import save_weights


def test_names_are_listed_sorted_and_by_wildcard():
    names = kdbench.list_models()
    assert names == sorted(names, key=str.lower) and len(names) == 33
    assert kdbench.list_models("wrn_*") == ["wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"]
    assert kdbench.list_models("nothing*") == []


def test_a_network_by_name_has_the_asked_classes_and_ignores_case():
    assert kdbench.create_model("resnet8")(torch.zeros(2, 3, 32, 32)).shape == (2, 100)
    assert kdbench.create_model("SHUFFLEV2", num_classes=7)(torch.zeros(2, 3, 8, 8)).shape == (2, 7)


def test_a_checkpoint_brings_its_weights(tmp_path):
    torch.manual_seed(1)
    model = kdbench.create_model("resnet8", 10)
    save_weights(model, tmp_path / "w.safetensors", "resnet8", 10, {})
    twin = kdbench.create_model("resnet8", 10, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True))
    with pytest.raises(UserError, match="resnet14"):
        kdbench.create_model("resnet14", 10, tmp_path / "w.safetensors")


def test_an_unknown_name_is_answered_by_the_nearest():
    with pytest.raises(UserError, match=r"unknown architecture 'resnet9'; did you mean 'resnet"):
        kdbench.create_model("resnet9")


def test_every_public_name_is_there_and_no_other():
    assert all(getattr(kdbench, name) for name in kdbench.__all__)
    assert sorted(name for names in kdbench._HOMES.values() for name in names) == kdbench.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kdbench.nothing  # noqa: B018
