"""What a plan costs: operations counted by hand, and a rate that a faster precision or device raises."""

import pytest
import torch

from kdbench.execution.estimate import Estimator, measured_rate
from kdbench.flops import forward_flops
from kdbench.plugins import load_plugins
from kdbench.recipe import Recipe
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


def test_the_rate_is_this_machines():
    """Not above what a large product of matrices or any other operator reaches: some TFLOP/s for each core."""
    assert 1e8 < measured_rate(CPU, Recipe(), seconds=0.05) < 1e12 * torch.get_num_threads()
