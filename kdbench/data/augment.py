"""Augmentation as recipes declare it."""

from pydantic import BaseModel, ConfigDict, Field


class Augmentation(BaseModel):
    """Random crop after zero padding, and random horizontal flip; drawn anew for every image and epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_padding: int = Field(
        default=4, ge=0, le=256, description="zero pixels on each side before the random crop; 0: none"
    )
    flip: bool = Field(default=True, description="flip every second image, on average, left to right")
