"""Recipes in words."""

from __future__ import annotations

from kdbench.inputs.wording import counted, listed
from kdbench.recipe import Recipe


def recipe_in_words(recipe: Recipe) -> str:
    """All of a recipe but its learning rates, which are the networks'."""
    images = recipe.augmentation
    parts = [
        f"{counted(recipe.epochs, 'epoch')} in batches of {recipe.batch_size}",
        _schedule(recipe),
        f"{'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum:g}, weight decay {recipe.weight_decay:g}",
        f"crops padded by {counted(images.crop_padding, 'pixel')}" if images.crop_padding else "no crops",
        "flips" if images.flip else "no flips",
        recipe.precision,
    ]
    if recipe.max_steps:
        parts.append(f"at most {recipe.max_steps} batch{'es' if recipe.max_steps > 1 else ''} an epoch")
    return "; ".join(parts)


def _schedule(recipe: Recipe) -> str:
    if not recipe.milestones:
        return "the learning rate stays"
    after = f"epoch{'s' if len(recipe.milestones) > 1 else ''} {listed(recipe.milestones)}"
    return f"the learning rate × {recipe.gamma:g} after {after}"
