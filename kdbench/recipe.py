"""Recipes: everything of training that is not the method."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from kdbench.data.augment import Augmentation
from kdbench.inputs.added_later import MARK, Growing
from kdbench.inputs.documents import read_yaml
from kdbench.inputs.errors import unknown
from kdbench.inputs.validation import merged, validated

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16"]
#: Images in a part of a batch, so that batch norm has statistics of a short last batch's parts as well.
FEWEST = 3
Beta = Annotated[float, Field(ge=0, lt=1)]


class Recipe(Growing):
    """An optimizer on shuffled batches with a schedule by the epoch; the last batch of an epoch may be short."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(240, ge=1, le=100_000)
    batch_size: int = Field(64, ge=2)
    lr: float = Field(0.05, gt=0, description="learning rate of families that `lr_by_family` does not name")
    lr_by_family: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="learning rate by family of the network being trained"
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0, description="on every parameter, biases and norms included")
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="the rate drops after each of these epochs (1-based)"
    )
    gamma: float = Field(0.1, gt=0, description="factor of each drop")
    augmentation: Augmentation = Augmentation()
    precision: Precision = "fp32"
    max_steps: int | None = Field(None, ge=1, description="at most so many batches an epoch; for trials")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", json_schema_extra=MARK)
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), description="AdamW's averages' decay", json_schema_extra=MARK)
    eps: float = Field(1e-8, gt=0, description="AdamW's summand of the denominator", json_schema_extra=MARK)
    decay_norms: bool = Field(
        True, description="weight decay on biases and norms too, else on weights alone", json_schema_extra=MARK
    )
    schedule: Literal["steps", "cosine"] = Field("steps", json_schema_extra=MARK)
    warmup_epochs: int = Field(
        0, ge=0, description="epochs in which the rate grows to its value", json_schema_extra=MARK
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a label on all classes", json_schema_extra=MARK
    )
    clip_norm: float | None = Field(None, gt=0, description="largest norm of a step's gradient", json_schema_extra=MARK)
    ema_decay: float | None = Field(
        None, gt=0, lt=1, description="decay of the weights' average that is evaluated and kept", json_schema_extra=MARK
    )
    accumulate: int = Field(1, ge=1, description="parts in which a batch is computed", json_schema_extra=MARK)

    @model_validator(mode="after")
    def _of_one_kind(self) -> Recipe:
        if self.optimizer == "adamw" and self.nesterov:
            raise ValueError("nesterov is SGD's, and the optimizer is adamw; set nesterov to false")
        if self.optimizer == "sgd" and (self.betas, self.eps) != ((0.9, 0.999), 1e-8):
            raise ValueError(
                "betas and eps are AdamW's, and the optimizer is sgd; set optimizer to adamw, or leave them"
            )
        if self.schedule == "cosine" and self.milestones:
            raise ValueError("milestones are those of the schedule steps, and it is cosine; set milestones to []")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} leaves none of {self.epochs} epochs after it; set it to less"
            )
        if self.milestones and min(self.milestones) <= self.warmup_epochs:
            raise ValueError(
                f"the milestone {min(self.milestones)} lies within warmup_epochs {self.warmup_epochs}, in which the "
                "rate grows; set a later one"
            )
        parted = self.accumulate > 1
        if parted and (self.batch_size % self.accumulate or self.batch_size // self.accumulate < FEWEST):
            raise ValueError(
                f"accumulate {self.accumulate} does not part batch_size {self.batch_size} evenly, {FEWEST} images or "
                "more in each part; set it to a divisor"
            )
        return self

    def resolved(self, family: str) -> Recipe:
        """The recipe for one network: its family's learning rate, and nothing left to look up."""
        return self.model_copy(update={"lr": self.lr_by_family.get(family, self.lr), "lr_by_family": {}})

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch (1-based): the same for all its steps, as torchvision and timm have it.

        Of W epochs of warm-up the k-th has k / (W + 1) of the rate, and the one after them all of it. The cosine falls
        over the epochs that follow; one more would have a rate of 0.
        """
        if epoch <= self.warmup_epochs:
            return self.lr * epoch / (self.warmup_epochs + 1)
        if self.schedule == "cosine":
            passed = (epoch - 1 - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
            return self.lr * (1 + math.cos(math.pi * passed)) / 2
        return self.lr * self.gamma ** sum(epoch > milestone for milestone in self.milestones)

    @property
    def unreached(self) -> tuple[int, ...]:
        """Milestones after which no epoch follows, so that the rate never drops there."""
        return tuple(milestone for milestone in self.milestones if milestone >= self.epochs)

    @property
    def soft_labels(self) -> bool:
        """Whether networks are trained on class probabilities [B, K] rather than class indices [B]."""
        return bool(self.label_smoothing or self.augmentation.mixup or self.augmentation.cutmix)

    @property
    def part_size(self) -> int:
        """Images that pass through a network at once: those of a batch, or of one of its parts."""
        return self.batch_size // self.accumulate

    @property
    def state_copies(self) -> int:
        """How often a run's state holds as much as its network: weights, the optimizer's averages, the weights'."""
        return 1 + (2 if self.optimizer == "adamw" else 1) + (self.ema_decay is not None)

    @property
    def autocast(self) -> torch.dtype:
        """What networks compute in; float32 means no autocast."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def load_recipe(source: str | dict[str, Any], overrides: dict[str, Any] | None = None) -> Recipe:
    """A recipe by name, or from a mapping whose `base` may name one; `overrides` come last."""
    values = {"base": source} if isinstance(source, str) else dict(source)
    base = values.pop("base", None)
    inherited = read_yaml(_recipe_file(base)) if base is not None else {}
    return validated(Recipe, merged(merged(inherited, values), overrides or {}), "recipe")


def recipe_names() -> list[str]:
    """Names of the recipes that come with kdbench."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def _recipe_file(name: str) -> Path:
    path = _folder() / f"{name}.yaml"
    if name not in recipe_names():
        raise unknown("recipe", str(name), recipe_names(), "kdbench list recipes")
    return path


def _folder() -> Path:
    return Path(str(files("kdbench.recipes")))
