"""Networks whose layers draw random numbers: a run is a pure function of (seed, epoch, step) all the same."""

import pytest
import torch
from torch import nn

import kdbench
from kdbench.model import Architecture, Head, StagedModel
from kdbench.training.member import Member
from kdbench.training.random_layers import RandomLayers
from tests.training import support
from tests.training.support import CPU, noise_dataset, outcome, runs, train, train_interrupted

PAIR = "resnet8:dropping"
METHODS = ("student", "kd", "dskd")


def dropping(num_classes: int) -> StagedModel:
    stages = [nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Dropout(0.5)) for _ in range(2)]
    return StagedModel(nn.Conv2d(3, 4, 1), stages, Head(nn.Identity(), nn.Linear(4, num_classes)))


class Networks:
    @kdbench.hookimpl
    def kdbench_architectures(self):
        return [Architecture("dropping", "dropping", dropping)]


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    support.with_methods(monkeypatch, Networks())


def made(tmp_path, *methods, stop_after=0):
    # Whatever the process has drawn before.
    torch.manual_seed(torch.seed() % 1000)
    group = runs(*methods, pair=PAIR)
    found = {}
    for cohort in [[run for run in group if run.teacher], [run for run in group if not run.teacher]]:
        if cohort and stop_after:
            train_interrupted(tmp_path, cohort, stop_after=stop_after)
        if cohort:
            found |= {method: outcome(record) for method, record in train(tmp_path, cohort).items()}
    return found


def test_alone_in_a_cohort_and_interrupted(tmp_path):
    together = made(tmp_path / "together", *METHODS)
    assert made(tmp_path / "interrupted", *METHODS, stop_after=2) == together
    assert made(tmp_path / "alone", "kd")["kd"] == together["kd"]


def test_what_a_step_drops_follows_from_the_step_and_not_from_the_method():
    def masks(method: str, step: int) -> torch.Tensor:
        run = runs(method, pair=PAIR)[0]
        member = Member(run, support.registered(), noise_dataset(), None, None, CPU)
        member.reseed(1, step)
        dropped = []
        for stage in member.network.stages:
            stage[-1].register_forward_hook(lambda _, inputs, output: dropped.append(output / inputs[0]))
        before = torch.get_rng_state()
        with member.random_layers.drawing():
            member.outputs(torch.ones(2, 3, 8, 8))
        assert torch.equal(torch.get_rng_state(), before)
        return torch.cat([mask.flatten() for mask in dropped]).nan_to_num()

    first = masks("student", 0)
    assert first.unique().tolist() == [0, 2]
    assert torch.equal(first, masks("dsn", 0))
    assert not torch.equal(first, masks("student", 1))


def test_the_parts_of_a_batch_go_on_drawing():
    layers, wanted = RandomLayers(CPU), torch.Generator().manual_seed(3)
    layers.reseed(3)
    for _ in range(2):
        with layers.drawing():
            assert torch.equal(torch.rand(5), torch.rand(5, generator=wanted))


def test_networks_that_draw_nothing_are_left_alone():
    member = Member(runs("student")[0], support.registered(), noise_dataset(), None, None, CPU)
    assert member.random_layers is None
