"""Augmentation as recipes declare it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field, model_validator

from kdbench.inputs.added_later import MARK, Growing
from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from kdbench.data.dataset import DatasetInfo

Share = Annotated[float, Field(gt=0, le=1)]
Strength = Annotated[float, Field(ge=0)]
#: What needs images as files, of any size.
FROM_FILES = ("size", "resize", "random_resized_crop", "colour_jitter", "rand_augment")


class Augmentation(Growing):
    """What happens to images before a network sees them; everything random is drawn anew for every image and epoch,
    mixup and cutmix for every batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    crop_padding: int = Field(
        default=4, ge=0, le=256, description="zero pixels on each side before the random crop; 0: none"
    )
    flip: bool = Field(default=True, description="flip every second image, on average, left to right")
    size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="pixels a side of what networks see; the data set's own",
        json_schema_extra=MARK,
    )
    resize: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="pixels of the shorter side in evaluation, of which the middle is seen; else `size`",
        json_schema_extra=MARK,
    )
    random_resized_crop: tuple[Share, Share] | None = Field(
        None, description="least and most of an image's area that a random crop takes", json_schema_extra=MARK
    )
    colour_jitter: tuple[Strength, Strength, Strength, Annotated[float, Field(ge=0, le=0.5)]] | None = Field(
        None, description="brightness, contrast, saturation, hue", json_schema_extra=MARK
    )
    rand_augment: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=0, le=30)]] | None = Field(
        None, description="operations an image, and their strength, at most 30", json_schema_extra=MARK
    )
    mixup: float = Field(0.0, ge=0, description="α of mixup's Beta distribution; 0: none", json_schema_extra=MARK)
    cutmix: float = Field(0.0, ge=0, description="α of cutmix's Beta distribution; 0: none", json_schema_extra=MARK)

    @model_validator(mode="after")
    def _of_one_kind(self) -> Augmentation:
        area = self.random_resized_crop
        if area and area[0] > area[1]:
            raise ValueError(
                f"random_resized_crop takes at least {area[0]:g} and at most {area[1]:g} of an image's area"
            )
        if area and self.crop_padding:
            raise ValueError(
                f"random_resized_crop and crop_padding {self.crop_padding} are two ways to crop; set crop_padding to 0"
            )
        if self.resize and self.size is None:
            raise ValueError(f"resize {self.resize} leaves open how much of the image is seen; set size as well")
        if self.resize and self.size and self.resize < self.size:
            raise ValueError(f"resize {self.resize} is smaller than size {self.size}, which is cut out of it")
        return self


def side_of(info: DatasetInfo, augmentation: Augmentation) -> int:
    """Pixels a side of what networks see: the data set's own, or what images of any size are brought to.

    Raises `UserError` where nothing says what these are, and for what images of one size are not given.
    """
    if info.input_size is not None:
        refuse_beyond_memory(augmentation, info.name, info.input_size)
        return info.input_size
    if augmentation.size is None:
        raise UserError(
            f"data set '{info.name}' has images of several sizes; say to which one they are brought, as in --set "
            "recipe.augmentation.size=224."
        )
    return augmentation.size


def refuse_beyond_memory(augmentation: Augmentation, name: str, pixels: int) -> None:
    """Raise `UserError` for what images that are held in memory, all of `pixels` a side, are not given."""
    for field in FROM_FILES:
        value = getattr(augmentation, field)
        if value is not None and (field, value) != ("size", pixels):
            raise UserError(
                f"recipe: augmentation.{field} is for images that are read from their files, and those of '{name}' are "
                f"held in memory with {pixels} pixels a side; set recipe.augmentation.{field}=null."
            )
