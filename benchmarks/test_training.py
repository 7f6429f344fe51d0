"""Training on a CPU: one step of the engine and of a plain loop over the same students. `pytest benchmarks`."""

import pytest
import torch

from kdbench.bench.train_data import noise
from kdbench.bench.train_loops import Engine, PlainLoop, Setting
from kdbench.data.dataset import DatasetInfo
from kdbench.plugins import load_plugins
from kdbench.recipe import load_recipe

METHODS = ("kd", "fitnet", "dsn", "dskd")


@pytest.fixture(scope="module")
def setting() -> Setting:
    data = noise(DatasetInfo("noise", 100, 32, 640, 100))
    return Setting(load_plugins(), data, "resnet20", "resnet8", load_recipe("crd240"), torch.device("cpu"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cohort(benchmark, setting, precision):
    teacher = setting.frozen_teacher(torch.channels_last)
    engine = Engine(setting, [(method, 0) for method in METHODS], teacher, precision, 1)
    benchmark.pedantic(engine, rounds=5, warmup_rounds=1)


def test_plain_loops(benchmark, setting):
    teacher = setting.frozen_teacher(torch.contiguous_format)
    loops = [PlainLoop(setting, method, teacher) for method in METHODS]
    benchmark.pedantic(lambda: [loop() for loop in loops], rounds=5, warmup_rounds=1)
