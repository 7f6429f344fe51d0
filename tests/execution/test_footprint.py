"""The memory that is told before training is what training keeps."""

import torch
from torch import nn

from kdbench.execution.footprint import Footprint, training_bytes
from kdbench.plugins import load_plugins
from tests.training.support import RECIPE, noise_dataset, runs

FLOAT = 4


def test_what_a_forward_pass_keeps():
    """Convolution: its input; ReLU: its result, which the next convolution's input is as well. Weights come thrice."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.ReLU(), nn.Conv2d(5, 2, 1, bias=False))
    weights = 3 * 5 + 5 * 2
    kept = 4 * 8 * 8 * (3 + 5)
    assert training_bytes(model, 4, 8) == FLOAT * (3 * weights + kept)


def test_grows_with_the_batch_and_the_members():
    registry = load_plugins()
    footprint = Footprint(registry, noise_dataset().info)
    one, two = footprint.cohort(runs("kd")), footprint.cohort(runs("kd", "sp"))
    assert two > one
    with torch.device("meta"):
        model = registry.architecture("resnet8").build(4)
    assert training_bytes(model, 16, 8) - training_bytes(model, 8, 8) > training_bytes(model, 8, 8) / 4


def test_moments_averages_and_parts_are_counted():
    """AdamW has an average more than SGD, and an average of the weights is one more; of a batch a part is kept."""
    registry = load_plugins()
    footprint = Footprint(registry, noise_dataset().info)
    plain, moved, parted = (
        footprint.cohort(runs("student", recipe=RECIPE.model_copy(update=changes)))
        for changes in ({}, {"optimizer": "adamw", "ema_decay": 0.9}, {"accumulate": 2})
    )
    weights = footprint.weights("resnet8")
    assert moved - plain == 2 * weights
    with torch.device("meta"):
        model = registry.architecture("resnet8").build(4)
    assert plain - parted == training_bytes(model, 8, 8) - training_bytes(model, 4, 8)


def test_methods_that_keep_a_bank_are_counted():
    footprint = Footprint(load_plugins(), noise_dataset().info)
    bank = 2 * 20 * 128 * FLOAT
    assert footprint.cohort(runs("crd")) - footprint.cohort(runs("kd")) == bank
