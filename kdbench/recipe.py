"""Recipes: everything of training that is not the method."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kdbench.data.augment import Augmentation
from kdbench.inputs.documents import read_yaml
from kdbench.inputs.errors import unknown
from kdbench.inputs.validation import merged, validated

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16"]


class Recipe(BaseModel):
    """SGD on shuffled batches with a step schedule; the last batch of an epoch may be short."""

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

    def resolved(self, family: str) -> Recipe:
        """The recipe for one network: its family's learning rate, and nothing left to look up."""
        return self.model_copy(update={"lr": self.lr_by_family.get(family, self.lr), "lr_by_family": {}})

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch (1-based)."""
        return self.lr * self.gamma ** sum(epoch > milestone for milestone in self.milestones)

    @property
    def unreached(self) -> tuple[int, ...]:
        """Milestones after which no epoch follows, so that the rate never drops there."""
        return tuple(milestone for milestone in self.milestones if milestone >= self.epochs)

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
