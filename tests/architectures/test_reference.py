"""Our networks against numbers that were measured on RepDistiller's, through the importer of its checkpoints."""

import pytest
import torch

from kdbench.store.zoo import from_zoo
from kdbench_architectures import NETWORKS
from tests.architectures.reference import expand, fill, images, names_sha256, reference

REFERENCE = reference()
ARCHITECTURES = {architecture.name: architecture for architecture in NETWORKS}


def test_the_same_networks_are_offered():
    assert ARCHITECTURES.keys() >= REFERENCE.keys()


def test_patterns_of_names_expand_as_in_a_shell():
    names = ["block0.weight", "block0.bias", "block1.weight", "block1.bias", "block2.weight", "block2.bias", "fc"]
    assert list(expand({"block{0..2}.{weight,bias}": [4], "fc": [2]})) == names


@pytest.mark.parametrize("name", REFERENCE)
def test_sizes(name):
    expected = REFERENCE[name]
    with torch.device("meta"):
        model = ARCHITECTURES[name].build(100)
    shapes = ARCHITECTURES[name].shapes(100, 32)
    assert sum(p.numel() for p in model.parameters()) == expected["parameters"]
    assert [list(shape) for shape in shapes.stages] == expected["stage_shapes"]
    assert len(model.state_dict()) == len(expand(expected["tensors"]))


@pytest.mark.parametrize("name", REFERENCE)
def test_imported_weights_give_the_same_outputs(name):
    expected = REFERENCE[name]
    shapes = expand(expected["tensors"])
    assert names_sha256(shapes) == expected["names_sha256"]
    with torch.device("meta"):
        model = ARCHITECTURES[name].build(100).double().eval()
    model.load_state_dict(from_zoo(fill(shapes), ARCHITECTURES[name], 100, "the formula").tensors, assign=True)
    for size, values in expected["outputs"].items():
        with torch.no_grad():
            outputs = model.outputs(images(int(size)))
        measured = {
            "logits": outputs.logits[:, :5].tolist(),
            "stages": [stage.abs().mean().item() for stage in outputs.stages],
            "embedding": outputs.embedding.abs().mean().item(),
        }
        for feature, value in values.items():
            torch.testing.assert_close(
                torch.tensor(measured[feature], dtype=torch.float64),
                torch.tensor(value, dtype=torch.float64),
                rtol=1e-8,
                atol=1e-9,
                msg=lambda text, at=f"{feature} at {size} pixels": f"{at}: {text}",
            )
