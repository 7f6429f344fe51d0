"""Recipes in words: every key that is not at its default is told."""

import pytest

from kdbench.cli.recipes import recipe_in_words
from kdbench.recipe import load_recipe


def test_the_papers_recipe_in_words():
    assert recipe_in_words(load_recipe("crd240")) == (
        "240 epochs in batches of 64; the learning rate × 0.1 after epochs 150, 180 and 210; "
        "momentum 0.9, weight decay 0.0005; crops padded by 4 pixels; flips; fp32"
    )


def test_a_recipe_of_everything_in_words():
    values = {
        "epochs": 300,
        "batch_size": 1024,
        "accumulate": 4,
        "optimizer": "adamw",
        "weight_decay": 0.05,
        "decay_norms": False,
        "schedule": "cosine",
        "warmup_epochs": 5,
        "clip_norm": 5,
        "ema_decay": 0.9999,
        "label_smoothing": 0.1,
        "max_steps": 5,
        "precision": "bf16",
        "augmentation": {
            "crop_padding": 0,
            "size": 224,
            "resize": 256,
            "random_resized_crop": [0.08, 1],
            "colour_jitter": [0.4, 0.4, 0.4, 0.1],
            "rand_augment": [2, 9],
            "mixup": 0.8,
            "cutmix": 1,
        },
    }
    assert recipe_in_words(load_recipe(values)).split("; ") == [
        "300 epochs in batches of 1024, each in 4 parts of 256",
        "after 5 epochs of warm-up the learning rate falls along a cosine",
        "AdamW, betas 0.9 and 0.999, eps 1e-08, weight decay 0.05 but none on norms and biases",
        "gradients clipped to a norm of 5",
        "weights averaged with a decay of 0.9999",
        "labels smoothed by 0.1",
        "random crops of 0.08 to 1 of the area at 224 pixels",
        "flips",
        "colour jitter 0.4, 0.4, 0.4, 0.1",
        "RandAugment of 2 operations at 9 of 30",
        "mixup with α 0.8",
        "cutmix with α 1",
        "tested on the middle of 256 pixels",
        "bf16",
        "at most 5 batches an epoch",
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"warmup_epochs": 1}, "after 1 epoch of warm-up the learning rate stays"),
        ({"milestones": [9], "warmup_epochs": 5}, "after 5 epochs of warm-up the learning rate × 0.1 after epoch 9"),
        ({"nesterov": True}, "Nesterov momentum 0.9"),
        ({"augmentation": {"crop_padding": 0}}, "no crops"),
        (
            {"augmentation": {"crop_padding": 0, "size": 224, "resize": 256}},
            "random crops out of 256 pixels of the shorter side at 224 pixels",
        ),
    ],
)
def test_schedules_in_words(values, words):
    assert words in recipe_in_words(load_recipe(values))
