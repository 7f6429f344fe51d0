"""The training benchmark on tiny sizes: every way is timed, related to the right loop, and told in full."""

import itertools
import json

import pytest
import torch
from typer.testing import CliRunner

from kdbench.bench import train as module
from kdbench.bench.train import peak, run_training
from kdbench.bench.train_data import dataset_or_noise, noise
from kdbench.bench.train_loops import PlainLoop, Setting
from kdbench.bench.train_report import render, to_json
from kdbench.cli.app import app
from kdbench.data.dataset import DatasetInfo
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.recipe import load_recipe
from kdbench.training.flops import forward_flops

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def _small_peak():
    """What the processor can do at its best takes longer to measure than all else."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(module.PEAK_SIDES, "cpu", (16,))
        patched.setitem(module.PEAK_IMAGES, "cpu", (1,))
        yield


@pytest.fixture(scope="module")
def setting():
    data = noise(DatasetInfo("noise", 4, 8, 40, 8))
    recipe = load_recipe("crd240", {"batch_size": 8, "epochs": 3})
    return Setting(load_plugins(), data, "resnet14", "resnet8", recipe, CPU)


@pytest.fixture(scope="module")
def result(setting):
    return run_training(
        setting, ("kd", "crd", "dsn"), members=(1, 4), precision="bf16", rounds=2, lanes=1, notes=("a remark",)
    )


def test_rows(result):
    names = [row.name for row in result.rows]
    loops = ["kd", "crd", "dsn", "all"]
    expected = [f"{kind} loop, {what}" for kind in ("plain", "good") for what in loops]
    assert names == [*expected, "cohort of 1", "cohort of 4"]
    assert [row.students for row in result.rows] == [1, 1, 1, 3, 1, 1, 1, 3, 1, 4]
    assert result.rows[0].of_plain == result.rows[4].of_good == 1.0


def test_a_cohort_saves_the_teachers_passes_of_one_seed(result, setting):
    """Four students: three methods, and the first again with the next seed, which has batches of its own."""
    rows = {row.name: row for row in result.rows}
    teacher = forward_flops(setting.registry.architecture("resnet14").build(4), 8) * 8
    alone = rows["plain loop, all"].flops + rows["plain loop, kd"].flops
    assert rows["cohort of 4"].flops == alone - teacher


def test_the_plain_loop_is_in_float32_as_its_table_says(setting, monkeypatch):
    assert torch.backends.cudnn.allow_tf32, "PyTorch's own default"
    loop = PlainLoop(setting, "student", setting.frozen_teacher(torch.contiguous_format))
    inner, seen = loop._member.method.terms, []

    def terms(*inputs):
        seen.append(torch.backends.cudnn.allow_tf32)
        return inner(*inputs)

    monkeypatch.setattr(loop._member.method, "terms", terms)
    loop()
    assert seen == [False]


def test_students_per_hour(result):
    assert result.steps_of_a_run == 15
    row = result.rows[-1]
    assert row.students_per_hour(15) == pytest.approx(4 * 3600 / (15 * row.wall.median))


def test_a_stop_ends_the_rounds_after_the_first(setting):
    stopped = run_training(
        setting, ("kd",), members=(1,), precision="fp32", rounds=50, lanes=1, stop_requested=lambda: True
    )
    assert stopped.notes == ["Stopped after 1 of 50 rounds."]
    assert stopped.rows[0].wall.low == stopped.rows[0].wall.high


def test_report(result):
    text = render(result)
    assert "cohort of 4" in text and "a remark" in text and "in bf16" in text
    values = json.loads(to_json(result, CPU))
    assert values["rows"][-1]["students"] == 4
    assert values["environment"]["threads"] == 1


@pytest.mark.parametrize(("product", "convolution"), [(3.0, 1.0), (1.0, 3.0)])
def test_peak(monkeypatch, product, convolution):
    """By a clock of the test's own: the faster of the two, in its quickest call."""
    slowness, flops = itertools.cycle([4.0, 1.0, 2.0]), 2 * 16**3

    def seconds(call, device):
        took = product * flops if call().shape == (16, 16) else convolution * 2 * 9 * 512 * 512 * 64
        return took * next(slowness)

    monkeypatch.setattr(module, "seconds_of", seconds)
    assert peak(CPU, "fp32") == pytest.approx(1.0)


def test_checkpoints_of_the_whole_cohort_count(result):
    assert result.checkpoint_members == 4
    assert result.checkpoint_share == result.checkpoint_seconds / 120 > 0


def test_noise_only_where_there_are_no_data(tmp_path):
    source = load_plugins().dataset("digits")
    assert dataset_or_noise(source, None)[1] == []
    data, notes = dataset_or_noise(_Missing(), tmp_path)
    assert data.train.images.shape == (40, 8, 8, 3)
    assert notes == ["missing is not on this machine: images are noise of its shape."]


def test_command_says_what_is_wrong():
    wrong = CliRunner().invoke(app, ["bench", "train", "--pair", "resnet14", "--methods", "kd", "--device", "cpu"])
    assert isinstance(wrong.exception, UserError)
    assert "TEACHER:STUDENT" in str(wrong.exception)


class _Missing:
    name = "missing"

    def available(self, data_dir):
        return False

    def info(self, data_dir):
        return DatasetInfo("missing", 4, 8, 40, 8)


@pytest.mark.parametrize(("rate", "tried"), [(1.1 * 2 * 32**3, {16, 32}), (0.9 * 2 * 32**3, {16})])
def test_the_large_size_is_left_where_it_would_take_too_long(monkeypatch, rate, tried):
    """By a clock of the test's own: in calls of 16³ and 32³ at one rate, and a convolution that is slower."""
    monkeypatch.setitem(module.PEAK_SIDES, "cpu", (16, 32))
    monkeypatch.setitem(module.PEAK_IMAGES, "cpu", (1,))
    sides = set()

    def seconds(call, device):
        if (made := call()).dim() == 4:
            return 1e9
        sides.add(len(made))
        return 2 * len(made) ** 3 / rate

    monkeypatch.setattr(module, "seconds_of", seconds)
    assert peak(CPU, "fp32") == pytest.approx(rate)
    assert sides == tried
