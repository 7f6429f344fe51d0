"""Shapes that are remembered are those that would be inferred."""

import pytest

from kdbench import shapes
from kdbench.model import Architecture
from kdbench.plugins import load_plugins
from kdbench.shapes import shapes_of
from kdbench.store import kept


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Names of the networks that were asked for their shapes."""
    names: list[str] = []
    infer = Architecture.shapes

    def counted(architecture, *sizes):
        names.append(architecture.name)
        return infer(architecture, *sizes)

    monkeypatch.setattr(Architecture, "shapes", counted)
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "home")
    return names


def test_they_are_inferred_once(asked, monkeypatch):
    registry = load_plugins()
    expected = registry.architecture("vgg8").shapes(10, 32)
    for _ in range(2):
        assert shapes_of(registry, "VGG8", 10, 32) == expected
    assert asked == ["vgg8"] * 2
    assert shapes_of(registry, "vgg8", 10, 64) != expected, "another size"
    assert shapes_of(registry, "vgg8", 11, 32) != expected, "another number of classes"
    monkeypatch.setattr(shapes, "_own_code", lambda: "changed")
    assert shapes_of(registry, "vgg8", 10, 32) == expected and len(asked) == 5


@pytest.mark.parametrize("damage", ["{", "[]", '{"a": {"stages": 1}}', "\0"])
def test_a_damaged_cache_is_made_anew(asked, damage, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/shapes.json").write_text(damage)
    registry = load_plugins()
    assert shapes_of(registry, "resnet8", 10, 8) == shapes_of(registry, "resnet8", 10, 8)
    assert asked == ["resnet8"]


def test_a_home_that_cannot_be_written(asked, tmp_path):
    (tmp_path / "home").write_text("a file")
    registry = load_plugins()
    assert shapes_of(registry, "resnet8", 10, 8) == shapes_of(registry, "resnet8", 10, 8)
    assert asked == ["resnet8", "resnet8"]


def test_those_of_a_plugin_are_not_remembered(asked, tmp_path):
    plugin = tmp_path / "network.py"
    plugin.write_text(
        "import kdbench\nfrom kdbench_architectures.resnet import resnet\nfrom functools import partial\n"
        "@kdbench.hookimpl\ndef kdbench_architectures():\n"
        "    return [kdbench.Architecture('mine', 'x', partial(resnet, 8, (16, 16, 32, 64)))]\n"
    )
    registry = load_plugins((plugin,))
    assert shapes_of(registry, "mine", 10, 8) == shapes_of(registry, "mine", 10, 8)
    assert asked == ["mine", "mine"] and not (tmp_path / "home").exists()
