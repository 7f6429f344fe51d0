"""Encoded images from untrusted files, decoded within limits, by one policy for every source (docs/grids.md)."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile
    from torch import Tensor

#: Pixels of height and width that an image kept in memory may have, and encoded bytes: far more than it needs.
MAX_SIDE, MAX_SIDE_BYTES = 1024, 2**24
#: Pixels of any image, of which Pillow begins to warn, and encoded bytes: as many as these pixels take uncompressed.
MAX_PIXELS, MAX_BYTES = 2**28 // 3, 2**28
#: Pillow also reads formats that call other programs; these are decoded in its own libraries.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF", "GIF")
#: Modes that become 8-bit RGB without a loss of depth.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
#: TIFF's tag of how many bits each channel has.
BITS_PER_SAMPLE = 258


class OtherSize(ValueError):
    """A sound image that is not as large as it must be."""


def bad_image(where: object, reason: ValueError) -> UserError:
    """What to say of an image that cannot be decoded; `where` it lies."""
    return UserError(f"{where}: bad image: {reason}; mend it or leave it out.")


def square_side(data: bytes) -> int:
    """Height and width of a square image in pixels, from its header alone.

    Raises `OtherSize` for an image that is not square or too large to be kept in memory, `ValueError` as `decode_rgb`.
    """
    with _opened(data) as image:
        if image.width != image.height or image.width > MAX_SIDE:
            raise OtherSize(
                f"it is {image.width}×{image.height}, and only square images of at most {MAX_SIDE} pixels a side are "
                "kept in memory"
            )
        return image.width


def decode_rgb(data: bytes) -> Image:
    """An encoded image of any size in Pillow's mode RGB, with its pixels loaded.

    Grey is repeated, transparency left out, of several frames the first is taken, and an EXIF orientation is not
    applied, as torchvision's ImageFolder does it. Raises `ValueError`, which says why, for data that are no image, are
    damaged, too large, or of other channels than 8-bit ones; sizes are checked before any pixel is decoded.
    """
    return _converted(_opened(data))


def decode_pixels(data: bytes) -> Tensor:
    """The pixels of `decode_rgb`, uint8 [3, H, W]. Raises `ValueError` as it does."""
    import numpy as np
    import torch

    image = _opened(data)
    if (image.format, image.mode) == ("JPEG", "RGB") and (decode_jpeg := _torchvision()):
        # What is damaged Pillow has the words for.
        with contextlib.suppress(RuntimeError):
            return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    return torch.from_numpy(np.array(_converted(image))).permute(2, 0, 1)


@functools.cache
def _torchvision() -> Callable[[Tensor], Tensor] | None:
    """torchvision's way to the same pixels in two thirds of Pillow's time. Later versions will have none."""
    try:
        from torchvision.io import decode_jpeg
    except ImportError:
        return None
    found: Callable[[Tensor], Tensor] = decode_jpeg
    return found


def decode(data: bytes, side: int) -> NDArray[np.uint8]:
    """The same as uint8 [side, side, 3]. Raises `OtherSize` beside for images that are not `side` × `side`."""
    import numpy as np

    with _opened(data) as image:
        if image.size != (side, side):
            raise OtherSize(f"it is {image.width}×{image.height}, where the first image is {side}×{side}")
        if len(data) > MAX_SIDE_BYTES:
            raise ValueError(f"it has {len(data):,} encoded bytes, and more than {MAX_SIDE_BYTES:,} are not read")
        return np.asarray(_converted(image))


def _converted(image: Image) -> Image:
    try:
        image.load()
        return image if image.mode == "RGB" else _straight(image).convert("RGB")
    # Damaged data end in whatever the decoder of their format raises: OSError, SyntaxError, struct.error and more.
    except Exception as error:
        raise ValueError(f"it cannot be decoded: {error}") from error


def _straight(image: Image) -> Image:
    """The image, a palette's transparent colours spelt out: Pillow warns of those that it leaves out."""
    transparent = image.mode == "P" and isinstance(image.info.get("transparency"), bytes)
    return image.convert("RGBA") if transparent else image


def _opened(data: bytes) -> ImageFile:
    import PIL.Image

    if not data:
        raise ValueError("it has no encoded bytes")
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} encoded bytes, which are not read")
    try:
        image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ValueError(f"it has more than {MAX_PIXELS:,} pixels, which are not read") from error
    except Exception as error:  # as above
        raise ValueError(f"its {len(data):,} bytes are no {', '.join(FORMATS)} image") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it is {image.width}×{image.height}, and more than {MAX_PIXELS:,} pixels are not read")
    # Of other formats Pillow may set these up when it decodes, and says then that there are none.
    if image.format == "PNG" and not image.tile:
        raise ValueError("it has no pixels")
    # Pillow makes 16-bit colour 8-bit without a word, and 16-bit grey white where it is converted.
    if image.mode not in MODES or _deep(image):
        raise ValueError(f"its channels are not of 8 bits (Pillow's mode {image.mode}); convert it to 8 bits")
    return image


def _deep(image: ImageFile) -> bool:
    """Whether an image of an 8-bit mode has more bits a channel in its file."""
    if image.format == "TIFF":
        bits: tuple[int, ...] = image.tag_v2.get(BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
        return max(bits) > 8
    how = image.tile[0][3] if image.tile else ""
    if image.format == "PPM":
        return isinstance(how, tuple) and how[-1] > 255
    return image.format == "PNG" and str(how).endswith("16B")
