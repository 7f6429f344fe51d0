"""What a plan costs: operations counted by hand, and their rate by a clock of the test's own."""

import itertools

import pytest
import torch

from kdbench.execution import estimate as module
from kdbench.execution.estimate import RATE_STEPS, Estimator, measured_rate
from kdbench.plugins import load_plugins
from kdbench.recipe import Recipe
from kdbench.training.flops import forward_flops
from tests.gpu import DEVICES
from tests.training.support import CPU, RECIPE, noise_dataset, runs

INFO = noise_dataset().info


def forward(name):
    return forward_flops(load_plugins().architecture(name).build(INFO.num_classes), INFO.input_size)


def estimate(group):
    return Estimator(load_plugins(), INFO).estimate(group)


@pytest.mark.parametrize(("recipe", "images"), [(RECIPE, 20), (RECIPE.model_copy(update={"max_steps": 2}), 16)])
def test_a_cohort_makes_the_teachers_pass_once(recipe, images):
    """Two epochs over `images` of 20: a student's step counts three passes, its test one over 10 images."""
    found = estimate(runs("student", "kd", "at", recipe=recipe))
    students = 3 * 2 * (3 * images + 10) * forward("resnet8")
    teacher = 2 * images * forward("resnet14")
    assert found.shared == students + teacher
    assert found.alone == students + 2 * teacher


def test_learning_rates_do_not_part_a_cohort_and_seeds_do():
    group = runs("kd", "at")
    slower = [group[1].model_copy(update={"recipe": RECIPE.model_copy(update={"lr": 0.01})})]
    assert estimate([group[0], *slower]) == estimate(group)
    seeds = estimate([*runs("kd"), *runs("kd", seed=1)])
    assert seeds.shared == seeds.alone == 2 * estimate(runs("kd")).alone


@pytest.mark.parametrize("device", DEVICES)
def test_the_rate_counts_the_steps_between_two_looks_at_the_clock(device, monkeypatch):
    """A clock that goes on by a second at every look: two rounds of steps within 2.5 s, and a third look at its end."""
    monkeypatch.setattr(module.time, "perf_counter", itertools.count().__next__)
    network = load_plugins().architecture("resnet8").build(INFO.num_classes)
    step = 3 * forward("resnet8") * 16
    found = measured_rate(device, Recipe(batch_size=16), network, INFO, seconds=2.5)
    assert found == pytest.approx(2 * RATE_STEPS[device.type] * step / 4)


def test_a_cpus_rate_takes_no_more_images_than_keep_it_busy(monkeypatch):
    """Room for 3 forward passes, of a recipe's 256 images: a step of the size that people train at takes 17 GB."""
    monkeypatch.setattr(module.time, "perf_counter", itertools.count().__next__)
    monkeypatch.setattr(module, "BUSY_FLOPS", 3 * forward("resnet8"))
    network, seen = load_plugins().architecture("resnet8").build(INFO.num_classes), set()
    network.register_forward_pre_hook(lambda module, given: seen.add(len(given[0])))
    found = measured_rate(CPU, Recipe(batch_size=256), network, INFO, seconds=2.5)
    assert seen == {1, 3}  # counting operations takes one image
    assert found == pytest.approx(2 * RATE_STEPS["cpu"] * 3 * forward("resnet8") * 3 / 4)


def test_the_rate_of_a_plan_is_that_of_its_networks_by_their_operations(monkeypatch):
    """Those that take most, down to half of all, on every core: resnet8 at 3 operations a second, others at 5 and 7."""
    rates = {forward("resnet8"): 3.0, forward("resnet14"): 5.0, forward("resnet20"): 7.0}
    monkeypatch.setattr(
        module, "measured_rate", lambda device, recipe, network, info: rates[forward_flops(network, info.input_size)]
    )
    students = runs("student", "kd")
    teacher = students[1].teacher.trained_by
    find, cores = Estimator(load_plugins(), INFO).rate, torch.get_num_threads()
    assert find(students, CPU, RECIPE) == pytest.approx(cores * 3)
    assert find([*students, *runs("at", "sp", "cc"), teacher], CPU, RECIPE) == pytest.approx(cores * 3)
    others = [student.model_copy(update={"student": "resnet20"}) for student in students]
    small, large, largest = (n * forward(name) for n, name in ((3, "resnet8"), (2, "resnet14"), (2, "resnet20")))
    assert largest < small + large and large > small
    expected = cores * (largest + large) / (largest / 7 + large / 5)
    both = [*students, students[0], *others, teacher, teacher]
    assert find(both, CPU, RECIPE) == pytest.approx(expected)
    assert torch.get_num_threads() == cores
