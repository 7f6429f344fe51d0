"""Recipes: the paper's schedule, learning rates by family, and refusal of what is not a recipe."""

import json

import pytest

from kdbench.inputs.errors import UserError
from kdbench.recipe import Recipe, load_recipe, recipe_names


def test_the_papers_recipe():
    recipe = load_recipe("crd240")
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.nesterov) == (240, 64, 0.9, False)
    assert recipe.weight_decay == 5e-4 and recipe.precision == "fp32"
    assert recipe.augmentation.crop_padding == 4 and recipe.augmentation.flip
    # "Divided by 10 at the 150th, 180th and 210th epochs": the first epochs at a lower rate are 151, 181 and 211.
    rates = {epoch: recipe.lr_at(epoch) for epoch in (1, 150, 151, 180, 181, 210, 211, 240)}
    expected = {1: 0.05, 150: 0.05, 151: 5e-3, 180: 5e-3, 181: 5e-4, 210: 5e-4, 211: 5e-5, 240: 5e-5}
    assert rates == pytest.approx(expected)


def test_the_shortened_recipe_differs_in_its_epochs_alone():
    long, short = load_recipe("crd240"), load_recipe("crd60")
    assert short.epochs == 60
    drops = [epoch for epoch in range(2, 61) if short.lr_at(epoch) < short.lr_at(epoch - 1)]
    # A quarter of 150, 180 and 210 full epochs before each drop, rounded down.
    assert drops == [milestone // 4 + 1 for milestone in long.milestones] == [38, 46, 53]
    assert short.model_copy(update={"epochs": 240, "milestones": (150, 180, 210)}) == long


def test_learning_rate_follows_the_family():
    recipe = load_recipe("crd240")
    assert recipe.resolved("mobilenet").lr == recipe.resolved("shufflenet").lr == 0.01
    assert recipe.resolved("resnet").lr == recipe.resolved("vgg").lr == 0.05
    assert recipe.resolved("mobilenet").lr_by_family == {}


def test_overrides_come_last_and_merge_key_by_key():
    recipe = load_recipe({"base": "crd240", "epochs": 3}, {"augmentation": {"flip": False}})
    assert recipe.epochs == 3 and recipe.augmentation.crop_padding == 4 and not recipe.augmentation.flip


def test_milestones_that_no_epoch_follows_are_unreached():
    assert load_recipe("crd240").unreached == load_recipe("crd60").unreached == ()
    assert load_recipe("crd240", {"epochs": 180}).unreached == (180, 210)


def test_every_named_recipe_loads():
    assert {load_recipe(name).batch_size for name in recipe_names()} == {64}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("crd24", "unknown recipe 'crd24'; did you mean 'crd240'"),
        ({"epochs": -1}, "recipe: epochs"),
        ({"epochs": "ten"}, "recipe: epochs"),
        ({"learning_rate": 1}, "recipe has no key 'learning_rate'"),
        ({"lr": float("nan")}, "recipe: lr"),
        ({"lr_by_family": {"resnet": 0}}, "recipe: lr_by_family.resnet: input should be greater than 0, not 0"),
        ({"lr_by_family": {"resnet": -0.1}}, "recipe: lr_by_family.resnet: input should be greater than 0"),
        ({"milestones": [2, 0]}, "recipe: milestones.1: input should be greater than or equal to 1, not 0"),
        ({"batch_size": 1}, "recipe: batch_size"),
        ({"augmentation": {"crop": 1}}, "recipe: augmentation has no key 'crop'; did you mean 'crop_padding'"),
        ({"augmentation": 1}, "recipe: augmentation: input should be a mapping such as {key: value}, not 1"),
        ({"milestones": 1}, r"recipe: milestones: input should be a list such as \[1\], not 1"),
        ({"precision": "fp16"}, "recipe: precision"),
    ],
)
def test_what_is_no_recipe_is_refused_with_a_sentence(source, sentence):
    with pytest.raises(UserError, match=sentence):
        load_recipe(source)


#: What recipes gained after the first results, one value each that is not the default.
GAINED_IMAGES: dict[str, object] = {
    "size": 64,
    "random_resized_crop": [0.25, 1],
    "colour_jitter": [0.4, 0.4, 0.4, 0.1],
    "rand_augment": [2, 9],
}


def test_what_recipes_gained_is_not_told_at_its_default():
    told = load_recipe("crd240").model_dump(mode="json")
    first = {
        "epochs",
        "batch_size",
        "lr",
        "lr_by_family",
        "momentum",
        "nesterov",
        "weight_decay",
        "milestones",
        "gamma",
    }
    assert told.keys() == first | {"augmentation", "precision", "max_steps"}
    assert told["augmentation"] == {"crop_padding": 4, "flip": True}
    assert Recipe.model_validate(told) == Recipe.model_validate_json(json.dumps(told)) == load_recipe("crd240")


@pytest.mark.parametrize(("field", "value"), GAINED_IMAGES.items())
def test_what_recipes_gained_is_told_where_it_is_given(field: str, value: object):
    recipe = load_recipe({"augmentation": {"crop_padding": 0, field: value}})
    assert recipe.model_dump(mode="json")["augmentation"] == {"crop_padding": 0, "flip": True, field: value}
    assert recipe.model_dump(mode="json", exclude={"lr"}).keys() == recipe.model_dump(mode="json").keys() - {"lr"}
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("augmentation", "sentence"),
    [
        ({"random_resized_crop": [0.08, 1]}, "random_resized_crop and crop_padding 4 are two ways to crop"),
        ({"random_resized_crop": [0.9, 0.5], "crop_padding": 0}, "at least 0.9 and at most 0.5"),
        ({"random_resized_crop": [0, 1], "crop_padding": 0}, r"augmentation.random_resized_crop.0: input should be gr"),
        (
            {"resize": 256},
            "recipe: augmentation: resize 256 leaves open how much of the image is seen; set size as well",
        ),
        ({"resize": 200, "size": 224}, "resize 200 is smaller than size 224, which is cut out of it"),
        ({"colour_jitter": [1, 1, 1, 1]}, r"colour_jitter.3: input should be less than or equal to 0.5, not 1"),
        ({"rand_augment": [2, 31]}, r"rand_augment.1: input should be less than or equal to 30"),
    ],
)
def test_augmentation_that_contradicts_itself_is_refused(augmentation, sentence):
    with pytest.raises(UserError, match=sentence):
        load_recipe({"augmentation": augmentation})
