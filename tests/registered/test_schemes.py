"""A plugin's scheme of networks, used as those are that are listed."""

import pytest

from kdbench.cells import Expansion
from kdbench.cli.values import imported_teachers, parse_settings
from kdbench.data.dataset import DatasetInfo
from kdbench.declared import declared
from kdbench.inputs.errors import UserError
from kdbench.inputs.validation import validated
from kdbench.plugins import load_plugins
from kdbench.selection import Selection, load_grid
from kdbench.store.weights import save_weights

PLUGIN = """
from functools import partial

import kdbench
from torch import nn


def network(width, rate, num_classes):
    stem = nn.Conv2d(3, width, 3, 2, padding=1)
    stages = [nn.Sequential(nn.Conv2d(width, width, 3, 2, padding=1), nn.ReLU()) for _ in range(2)]
    return kdbench.StagedModel(stem, stages, kdbench.Head(nn.Dropout(rate), nn.Linear(width, num_classes)))


class Wide(kdbench.ArchitectureScheme):
    name = "wide"
    about = "a network of any width, such as wide:8"

    def with_argument(self, argument, settings):
        if not argument.isdigit():
            raise kdbench.UserError(f"wide:{argument} is no width; write wide:NUMBER.")
        width = int(argument)
        return kdbench.Architecture(str(width), "of_any_width", partial(network, width, settings.get("rate", 0.0)))

    def names(self):
        return ["1", "2"]


@kdbench.hookimpl
def kdbench_architectures():
    return [Wide()]
"""
GRID = """
dataset: digits
recipe: crd240
seeds: [0]
tables:
  - {name: t, title: t, pairs: [PAIR], rows: [{method: student}, {method: kd}]}
"""


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "wide.py"
    path.write_text(PLUGIN)
    return load_plugins((path,))


def expanded(tmp_path, registry, pair, **selection):
    path = tmp_path / "grid.yaml"
    path.write_text(GRID.replace("PAIR", pair))
    grid = load_grid(str(path), registry, validated(Selection, selection, "test"))
    return grid, Expansion(grid, registry, DatasetInfo("digits", 10, 8, 100, 50)).cells


def test_a_network_is_made_by_its_name_and_is_the_same_each_time(registry):
    network = registry.architecture("WIDE:08+rate=0.50")
    assert network.name == "wide:8+rate=0.5"
    assert network is registry.architecture("wide:8+rate=0.5")
    assert registry.family("wide:8") == "of_any_width"
    assert registry.name("architecture", "wide:008") == "wide:8"
    assert registry.plugin_of("architecture", "wide:8").name == "wide"
    assert network.build(5).head.classifier.out_features == 5
    with pytest.raises(UserError, match="wide:x is no width"):
        registry.name("architecture", "wide:x")
    with pytest.raises(UserError, match="unknown architecture scheme 'wyde'; did you mean 'wide'"):
        registry.architecture("wyde:8")


def test_a_scheme_is_no_network(registry):
    assert "wide" not in registry.architectures and not registry.problems
    with pytest.raises(UserError, match="unknown architecture 'wide'"):
        registry.architecture("wide")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("wrn_40_2:wrn_16_2", ("wrn_40_2", "wrn_16_2")),
        ("wide:8:wrn_16_2", ("wide:8", "wrn_16_2")),
        ("WRN_40_2:wide:4", ("wrn_40_2", "wide:4")),
        ("wide:8:wide:4+rate=0.1", ("wide:8", "wide:4+rate=0.1")),
    ],
)
def test_pairs(registry, tmp_path, text, pair):
    assert registry.pair(text) == pair
    grid, cells = expanded(tmp_path, registry, text)
    assert [(p.teacher, p.student) for p in grid.tables[0].pairs] == [pair]
    run = cells[1].runs[0]
    assert (run.teacher.architecture, run.student) == pair


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wide:8", "'wide:8' is one network, and a pair is two"),
        ("wide:8:resnet9", "unknown architecture 'resnet9'"),
        ("narrow:8:wrn_16_2", "schemes: .*wide"),
    ],
)
def test_what_is_no_pair_is_told(registry, text, sentence):
    with pytest.raises(UserError, match=sentence):
        registry.pair(text)


def test_settings_reach_the_network_and_are_part_of_a_runs_id(registry, tmp_path):
    settings = parse_settings(["wide:4.rate=0.25"]).networks
    assert settings == {"wide:4": {"rate": 0.25}}
    _, plain = expanded(tmp_path, registry, "wide:8:wide:4")
    _, cells = expanded(tmp_path, registry, "wide:8:wide:4", networks=settings)
    _, written = expanded(tmp_path, registry, "wide:8:wide:4+rate=0.25")
    run = cells[1].runs[0]
    assert run.student == "wide:4+rate=0.25" and run.teacher.architecture == "wide:8"
    assert run.id == written[1].runs[0].id != plain[1].runs[0].id
    with pytest.raises(UserError, match="unknown network in this selection 'wide:5'"):
        expanded(tmp_path, registry, "wide:8:wide:4", networks={"wide:5": {"rate": 0.1}})


def test_a_file_of_a_teacher_whose_name_has_settings(registry, tmp_path):
    name = "wide:8+rate=0.5"
    save_weights(registry.architecture(name).build(10), tmp_path / "a=b.safetensors", name, 10, {})
    (found,) = imported_teachers([f"{name}={tmp_path / 'a=b.safetensors'}"], registry)
    assert found == name


def test_shapes_say_whether_a_network_draws(registry):
    assert not registry.architecture("wide:8").shapes(10, 8).draws
    assert registry.architecture("wide:8+rate=0.5").shapes(10, 8).draws
    assert declared(registry, "student", {})["needs_teacher"] is False
