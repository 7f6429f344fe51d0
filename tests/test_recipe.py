"""Recipes: the paper's schedule, learning rates by family, and refusal of what is not a recipe."""

import json

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

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
    sizes = {name: load_recipe(name).batch_size for name in recipe_names()}
    assert sizes == {"crd16": 64, "crd60": 64, "crd240": 64, "imagenet100": 256, "deit300": 1024}


def test_imagenets_recipe_is_mdistillers_for_batches_of_256():
    recipe = load_recipe("imagenet100")
    assert (recipe.epochs, recipe.momentum, recipe.weight_decay, recipe.lr_by_family) == (100, 0.9, 1e-4, {})
    rates = {epoch: recipe.lr_at(epoch) for epoch in (1, 30, 31, 60, 61, 90, 91, 100)}
    assert rates == pytest.approx({1: 0.1, 30: 0.1, 31: 0.01, 60: 0.01, 61: 1e-3, 90: 1e-3, 91: 1e-4, 100: 1e-4})
    images = recipe.augmentation
    assert (images.size, images.resize, images.random_resized_crop) == (224, 256, (0.08, 1))


def test_deits_recipe_has_the_rate_of_its_batch():
    recipe = load_recipe("deit300")
    assert recipe.lr == pytest.approx(5e-4 * recipe.batch_size / 512)
    assert recipe.soft_labels and not recipe.decay_norms and recipe.state_copies == 3


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


def rates(**values: object) -> list[float]:
    recipe = load_recipe({"lr": 0.4, **values})
    return [recipe.lr_at(epoch) for epoch in range(1, recipe.epochs + 1)]


def pytorchs(build, epochs: int) -> list[float]:
    """The rates that schedulers of PyTorch give, stepped once an epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    scheduler, found = build(optimizer), []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_warm_up_and_cosine_are_torchvisions():
    """Its references step a LinearLR and then a CosineAnnealingLR by the epoch."""

    def build(optimizer):
        warm = LinearLR(optimizer, start_factor=1 / 6, total_iters=5)
        return SequentialLR(optimizer, [warm, CosineAnnealingLR(optimizer, T_max=15)], milestones=[5])

    assert rates(epochs=20, schedule="cosine", warmup_epochs=5) == pytest.approx(pytorchs(build, 20))
    assert rates(epochs=20, schedule="cosine") == pytest.approx(
        pytorchs(lambda optimizer: CosineAnnealingLR(optimizer, T_max=20), 20)
    )


def test_warm_up_goes_before_steps_and_leaves_milestones_where_they_are():
    found = rates(epochs=8, milestones=[5, 7], warmup_epochs=3)
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.04, 0.04, 0.004])


#: What recipes gained after the first results, one value each that is not the default.
GAINED = {
    "optimizer": "adamw",
    "decay_norms": False,
    "schedule": "cosine",
    "warmup_epochs": 2,
    "label_smoothing": 0.1,
    "clip_norm": 5.0,
    "ema_decay": 0.999,
    "accumulate": 4,
}
GAINED_IMAGES: dict[str, object] = {
    "size": 64,
    "random_resized_crop": [0.25, 1],
    "colour_jitter": [0.4, 0.4, 0.4, 0.1],
    "rand_augment": [2, 9],
    "mixup": 0.8,
    "cutmix": 1.0,
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


@pytest.mark.parametrize(("field", "value"), GAINED.items())
def test_what_recipes_gained_is_told_where_it_is_given(field: str, value: object):
    recipe, before = load_recipe({field: value}), load_recipe({})
    assert recipe.model_dump(mode="json") == before.model_dump(mode="json") | {field: value}
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(("field", "value"), GAINED_IMAGES.items())
def test_augmentation_that_recipes_gained_is_told_where_it_is_given(field: str, value: object):
    recipe = load_recipe({"augmentation": {"crop_padding": 0, field: value}})
    assert recipe.model_dump(mode="json")["augmentation"] == {"crop_padding": 0, "flip": True, field: value}
    assert recipe.model_dump(mode="json", exclude={"lr"}).keys() == recipe.model_dump(mode="json").keys() - {"lr"}
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"optimizer": "adamw", "nesterov": True}, "recipe: nesterov is SGD's, and the optimizer is adamw"),
        ({"betas": [0.9, 0.95]}, "betas and eps are AdamW's, and the optimizer is sgd"),
        ({"eps": 1e-6}, "betas and eps are AdamW's"),
        (
            {"schedule": "cosine", "milestones": [3]},
            r"milestones are those of the schedule steps, .* set milestones to \[\]",
        ),
        ({"epochs": 5, "warmup_epochs": 5}, "warmup_epochs 5 leaves none of 5 epochs after it"),
        ({"warmup_epochs": 5, "milestones": [5, 9]}, "the milestone 5 lies within warmup_epochs 5"),
        ({"batch_size": 64, "accumulate": 5}, "accumulate 5 does not part batch_size 64 evenly"),
        (
            {"batch_size": 8, "accumulate": 4},
            "accumulate 4 does not part batch_size 8 evenly, 3 images or more in each",
        ),
        ({"label_smoothing": 1}, "recipe: label_smoothing: input should be less than 1, not 1"),
        ({"ema_decay": 1}, "recipe: ema_decay: input should be less than 1"),
        ({"optimizer": "adam"}, "recipe: optimizer: input should be 'sgd' or 'adamw', not 'adam'"),
    ],
)
def test_what_contradicts_itself_is_refused(values, sentence):
    with pytest.raises(UserError, match=sentence):
        load_recipe(values)


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
