"""One policy for images of every source: what torchvision's ImageFolder reads is read the same, or refused."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from kdbench.data import decode as module
from kdbench.data.decode import OtherSize, decode, decode_rgb, square_side
from tests.data.support import jpeg, png_of_16_bits, png_without_pixels

NOISE = np.random.default_rng(0).integers(256, size=(13, 17, 3), dtype=np.uint8)
COLOUR = Image.fromarray(NOISE)
DEEP = (NOISE[..., 0].astype(np.uint16) * 257, NOISE.astype(np.uint16) * 257)


def saved(image: Image.Image, fmt: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def palette(**options: Any) -> bytes:
    return saved(COLOUR.convert("P", palette=Image.Palette.ADAPTIVE, colors=16), "PNG", **options)


def frames(fmt: str, **options: Any) -> bytes:
    """Two pictures in one file."""
    return saved(COLOUR, fmt, save_all=True, append_images=[Image.new("RGB", COLOUR.size, "red")], **options)


def turned() -> bytes:
    """A JPEG that says of itself that it lies on its side."""
    exif = Image.Exif()
    exif[274] = 6
    return saved(COLOUR, "JPEG", exif=exif)


#: Files of which torchvision makes an image that is worth having.
READ: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(COLOUR, "JPEG"),
    "grey JPEG": lambda: saved(COLOUR.convert("L"), "JPEG"),
    "CMYK JPEG": lambda: saved(COLOUR.convert("CMYK"), "JPEG"),
    "progressive JPEG": lambda: saved(COLOUR, "JPEG", progressive=True),
    "EXIF orientation": turned,
    "JPEG of two pictures": lambda: frames("MPO"),
    "black and white PNG": lambda: saved(COLOUR.convert("1"), "PNG"),
    "grey PNG with alpha": lambda: saved(COLOUR.convert("LA"), "PNG"),
    "colour PNG with alpha": lambda: saved(Image.merge("RGBA", (*COLOUR.split(), COLOUR.getchannel(0))), "PNG"),
    "palette": palette,
    "palette, one colour transparent": lambda: palette(transparency=3),
    "palette with alpha": lambda: palette(transparency=bytes(range(0, 160, 10))),
    "animated PNG": lambda: frames("PNG"),
    "animated GIF": lambda: frames("GIF"),
    "animated WebP": lambda: frames("WEBP", lossless=True),
    "TIFF": lambda: saved(COLOUR, "TIFF"),
    "TIFF of two pages": lambda: frames("TIFF"),
    "compressed TIFF": lambda: saved(COLOUR, "TIFF", compression="tiff_lzw"),
    "CMYK TIFF": lambda: saved(COLOUR.convert("CMYK"), "TIFF"),
    "BMP": lambda: saved(COLOUR, "BMP"),
    "PPM": lambda: saved(COLOUR, "PPM"),
    "PGM": lambda: saved(COLOUR.convert("L"), "PPM"),
}


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("what", READ)
@pytest.mark.parametrize("ending", [".jpg", ".tiff"])
def test_it_is_what_torchvision_makes_of_it_whatever_its_name(tmp_path: Path, what: str, ending: str) -> None:
    from torchvision.datasets.folder import default_loader

    data = READ[what]()
    (tmp_path / f"image{ending}").write_bytes(data)
    ours, theirs = decode_rgb(data), default_loader(str(tmp_path / f"image{ending}"))
    assert ours.mode == "RGB" and ours.size == (17, 13)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def pgm(pixels: np.ndarray) -> bytes:
    """16-bit values as a PGM or PPM file has them."""
    return b"P%d 17 13 65535\n" % (6 if pixels.ndim == 3 else 5) + pixels.astype(">u2").tobytes()


def tiff_of_16_bit_colour() -> bytes:
    """An uncompressed TIFF of three 16-bit channels, which Pillow cannot write."""
    pixels = DEEP[1].astype("<u2").tobytes()
    bits, at = struct.pack("<HHH", 16, 16, 16), 8 + len(pixels)
    rows = [(256, 3, 1, 17), (257, 3, 1, 13), (258, 3, 3, at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8)]
    rows += [(277, 3, 1, 3), (278, 3, 1, 13), (279, 4, 1, len(pixels))]
    table = b"".join(struct.pack("<HHII", *row) for row in rows)
    header = b"II*\0" + struct.pack("<I", at + len(bits))
    return header + pixels + bits + struct.pack("<H", len(rows)) + table + bytes(4)


def bomb() -> bytes:
    """A PNG whose header claims 50,000 × 50,000 pixels."""
    data = bytearray(saved(COLOUR, "PNG"))
    data[16:24] = struct.pack(">II", 50_000, 50_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "it has no encoded bytes"),
    "text": (lambda: b"<html>404</html>", "its 16 bytes are no JPEG, PNG, .* image"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n", "its 47 bytes are no JPEG"),
    "a JPEG cut short": (lambda: saved(COLOUR, "JPEG")[:-40], "it cannot be decoded: .*truncated"),
    "a PNG cut short": (lambda: saved(COLOUR, "PNG")[:-300], "it cannot be decoded"),
    "a TIFF cut short": (
        lambda: saved(COLOUR, "TIFF", compression="tiff_lzw")[:200],
        "it cannot be decoded|are no JPEG",
    ),
    "a PNG without pixels": (lambda: png_without_pixels(6), "it has no pixels"),
    "a bomb": (bomb, "it has more than 89,478,485 pixels, which are not read"),
    "16-bit grey PNG": (lambda: png_of_16_bits(0, 6), r"its channels are not of 8 bits \(Pillow's mode I"),
    "16-bit colour PNG": (
        lambda: png_of_16_bits(2, 6),
        r"its channels are not of 8 bits \(Pillow's mode RGB\); convert",
    ),
    "16-bit grey TIFF": (lambda: saved(Image.fromarray(DEEP[0]), "TIFF"), "its channels are not of 8 bits"),
    "16-bit colour TIFF": (tiff_of_16_bit_colour, "its channels are not of 8 bits"),
    "16-bit PGM": (lambda: pgm(DEEP[0]), "its channels are not of 8 bits"),
    "16-bit PPM": (lambda: pgm(DEEP[1]), "its channels are not of 8 bits"),
    "TIFF of floats": (lambda: saved(Image.fromarray(NOISE[..., 0] / np.float32(7)), "TIFF"), "are not of 8 bits"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_broken_or_would_lose_its_depth_is_refused_with_a_reason(what: str) -> None:
    make, reason = REFUSED[what]
    with pytest.raises(ValueError, match=reason):
        decode_rgb(make())


def test_sizes_are_limited_before_a_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(COLOUR, "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decoded"))
    monkeypatch.setattr(module, "MAX_PIXELS", 200)
    with pytest.raises(ValueError, match="it is 17×13, and more than 200 pixels are not read"):
        decode_rgb(data)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="it has more than 100 encoded bytes, which are not read"):
        decode_rgb(data)


def test_what_is_kept_in_memory_is_square_and_not_large(monkeypatch: pytest.MonkeyPatch) -> None:
    square = jpeg(9, 9)
    assert square_side(square) == 9 and decode(square, 9).shape == (9, 9, 3)
    np.testing.assert_array_equal(decode(square, 9), np.asarray(decode_rgb(square)))
    with pytest.raises(OtherSize, match="it is 9×9, where the first image is 8×8"):
        decode(square, 8)
    with pytest.raises(OtherSize, match="it is 9×8, and only square images of at most 1024 pixels a side are kept"):
        square_side(jpeg(9, 8))
    monkeypatch.setattr(module, "MAX_SIDE", 8)
    with pytest.raises(OtherSize, match="only square images of at most 8 pixels a side"):
        square_side(square)
    monkeypatch.setattr(module, "MAX_SIDE_BYTES", 100)
    with pytest.raises(ValueError, match=r"it has \d+ encoded bytes, and more than 100 are not read"):
        decode(square, 9)
