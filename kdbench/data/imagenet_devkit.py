"""Labels of ImageNet's validation images as its devkit has them: numbers, and their synsets in a MATLAB file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from kdbench.data.lines import read_lines
from kdbench.inputs.errors import UserError

#: The kit's folder, which may be that of the images as well, and its two files.
PLACES = ("", "data", "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12/data")
TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
#: Bytes that the MATLAB file may have, many times what it has.
MAX_META_BYTES = 2**24


def find_ground_truth(folder: Path) -> Path | None:
    """The file of the validation images' numbers, if it is there."""
    return next((path for place in PLACES if (path := folder / place / TRUTH).is_file()), None)


def devkit_labels(truth: Path) -> Iterator[tuple[str, str]]:
    """File and synset of each validation image: line n of `truth` is the number of image n's synset."""
    synsets = _synsets(truth.with_name(META))
    for number, line in enumerate(read_lines(truth), start=1):
        if (synset := synsets.get(line.strip())) is None:
            raise UserError(f"{truth}, line {number}: it is the number of no synset; download it anew.")
        yield f"ILSVRC2012_val_{number:08}.JPEG", synset


def _synsets(path: Path) -> dict[str, str]:
    """Synsets by their numbers. The format is plain arrays; nothing in it is executed."""
    from scipy.io import loadmat  # takes a second to import

    try:
        with path.open("rb") as file:
            content = file.read(MAX_META_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}), and it says what the numbers beside it mean; put it there."
        ) from error
    if len(content) > MAX_META_BYTES:
        raise UserError(f"{path} has more than {MAX_META_BYTES:,} bytes, which are not read; download it anew.")
    try:
        rows = loadmat(io.BytesIO(content), variable_names=["synsets"], squeeze_me=True)["synsets"]
        return {
            str(int(number)): str(synset) for number, synset in zip(rows["ILSVRC2012_ID"], rows["WNID"], strict=True)
        }
    # A damaged file ends in whatever the reader comes upon.
    except Exception as error:
        raise UserError(f"{path} holds no table of synsets ({error!s:.100}); download it anew.") from error
