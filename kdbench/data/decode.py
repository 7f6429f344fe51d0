"""Encoded images from untrusted files, decoded within limits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Pixels of height and width that an image may have.
MAX_SIDE = 1024
#: Bytes of an encoded image: far more than a sound one of that size has.
MAX_BYTES = 2**24
#: Pillow also reads formats that call other programs; these are decoded in its own libraries.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
#: Modes that become 8-bit RGB without a loss of depth.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def image_side(data: bytes) -> int:
    """Height and width of a square image in pixels, from its header alone. Raises `ValueError`, as `decode` does."""
    with _opened(data) as image:
        return image.width


def decode(data: bytes, side: int) -> NDArray[np.uint8]:
    """An encoded image as uint8 [side, side, 3]; grey is repeated.

    Raises `ValueError`, which says why, for data that are no image, are damaged, or are not `side` × `side`; sizes are
    checked before any pixel is decoded.
    """
    import numpy as np

    with _opened(data) as image:
        if image.width != side:
            raise ValueError(f"it is {image.width}×{image.height}, where the first image is {side}×{side}")
        try:
            return np.asarray(image if image.mode == "RGB" else _straight(image).convert("RGB"))
        # Damaged data end in whatever the decoder of their format raises: OSError, SyntaxError, struct.error and more.
        except Exception as error:
            raise ValueError(f"it cannot be decoded: {error}") from error


def _straight(image: Image) -> Image:
    """The image, a palette's transparent colours spelt out: Pillow warns of those that it leaves out."""
    transparent = image.mode == "P" and isinstance(image.info.get("transparency"), bytes)
    return image.convert("RGBA") if transparent else image


def _opened(data: bytes) -> Image:
    import PIL.Image

    if not data:
        raise ValueError("it has no encoded bytes")
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has {len(data):,} encoded bytes, and more than {MAX_BYTES:,} are not read")
    try:
        image = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {MAX_SIDE} pixels a side") from error
    except Exception as error:  # as above
        raise ValueError(f"its {len(data):,} bytes are no {', '.join(FORMATS)} image") from error
    if not 1 <= max(image.size) <= MAX_SIDE:
        raise ValueError(f"it is {image.width}×{image.height}, and more than {MAX_SIDE} pixels are not read")
    if image.width != image.height:
        raise ValueError(f"it is {image.width}×{image.height}, and only square images are read")
    # Of other formats Pillow may set these up when it decodes, and says then that there are none.
    if image.format == "PNG" and not image.tile:
        raise ValueError("it has no pixels")
    # Pillow reads 16-bit colour as 8-bit without a word, and 16-bit grey as a mode of its own; only PNG has either.
    if image.mode not in MODES or (image.format == "PNG" and str(image.tile[0][3]).endswith("16B")):
        raise ValueError(f"its channels are not of 8 bits (Pillow's mode {image.mode}); convert it to 8 bits")
    return image
