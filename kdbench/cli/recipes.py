"""Recipes in words."""

from __future__ import annotations

from kdbench.data.augment import Augmentation
from kdbench.inputs.wording import counted, listed
from kdbench.recipe import Recipe


def recipe_in_words(recipe: Recipe) -> str:
    """All of a recipe but its learning rates, which are the networks'."""
    parts = [
        f"{counted(recipe.epochs, 'epoch')} in batches of {recipe.batch_size}",
        _schedule(recipe),
        _optimizer(recipe),
        *_images(recipe.augmentation),
        recipe.precision,
    ]
    if recipe.accumulate > 1:
        parts[0] += f", each in {recipe.accumulate} parts of {recipe.part_size}"
    if recipe.max_steps:
        parts.append(f"at most {recipe.max_steps} batch{'es' if recipe.max_steps > 1 else ''} an epoch")
    return "; ".join(parts)


def _schedule(recipe: Recipe) -> str:
    before = f"after {counted(recipe.warmup_epochs, 'epoch')} of warm-up " if recipe.warmup_epochs else ""
    if recipe.schedule == "cosine":
        return f"{before}the learning rate falls along a cosine"
    if not recipe.milestones:
        return f"{before}the learning rate stays"
    after = f"epoch{'s' if len(recipe.milestones) > 1 else ''} {listed(recipe.milestones)}"
    return f"{before}the learning rate × {recipe.gamma:g} after {after}"


def _optimizer(recipe: Recipe) -> str:
    """How a step is made of a batch's gradient, and what becomes of the weights."""
    if recipe.optimizer == "adamw":
        words = f"AdamW, betas {recipe.betas[0]:g} and {recipe.betas[1]:g}, eps {recipe.eps:g}"
    else:
        words = f"{'Nesterov ' if recipe.nesterov else ''}momentum {recipe.momentum:g}"
    words += f", weight decay {recipe.weight_decay:g}"
    if not recipe.decay_norms:
        words += " but none on norms and biases"
    if recipe.clip_norm:
        words += f"; gradients clipped to a norm of {recipe.clip_norm:g}"
    if recipe.ema_decay:
        words += f"; weights averaged with a decay of {recipe.ema_decay:g}"
    return words + (f"; labels smoothed by {recipe.label_smoothing:g}" if recipe.label_smoothing else "")


def _images(images: Augmentation) -> list[str]:
    parts = [f"crops padded by {counted(images.crop_padding, 'pixel')}" if images.crop_padding else "no crops"]
    if area := images.random_resized_crop:
        parts = [f"random crops of {area[0]:g} to {area[1]:g} of the area"]
    elif images.resize:
        parts = [f"random crops out of {images.resize} pixels of the shorter side"]
    if images.size:
        parts[0] += f" at {images.size} pixels"
    parts.append("flips" if images.flip else "no flips")
    if jitter := images.colour_jitter:
        parts.append("colour jitter " + ", ".join(f"{strength:g}" for strength in jitter))
    if images.rand_augment:
        operations, strength = images.rand_augment
        parts.append(f"RandAugment of {counted(operations, 'operation')} at {strength} of 30")
    parts += [
        f"{name} with α {alpha:g}" for name, alpha in (("mixup", images.mixup), ("cutmix", images.cutmix)) if alpha
    ]
    if images.resize:
        parts.append(f"tested on the middle of {images.resize} pixels")
    return parts
