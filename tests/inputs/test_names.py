"""Names that become files."""

from pathlib import Path

import pytest

from kdbench.inputs.errors import UserError
from kdbench.inputs.names import checked_path, unfit_name


@pytest.mark.parametrize(
    "name", ["kd", "resnet8x4", "MobileNetV2", "a", "0" * 64, "a.b-c_d", "console", "com", "nulls"]
)
def test_what_is_a_name(name):
    assert unfit_name(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../a", "64 letters"),
        ("a" * 65, "64 letters"),
        ("a.", "the last no dot"),
        ("a\n", "64 letters"),
        ("Con.tar.gz", "Windows keeps 'Con.tar.gz' for a device"),
        (None, "no text but NoneType"),
    ],
)
def test_what_is_none_and_why(name, why):
    assert why in unfit_name(name)


@pytest.mark.parametrize("path", ["a", "../a b/ä", "/tmp/x.y", "~/r", "."])
def test_a_users_own_folder_may_lie_anywhere(path):
    assert checked_path(Path(path)) == Path(path)
    assert checked_path(None) is None


@pytest.mark.parametrize("path", ["a/\x1b[2J/b", "aux/x", "a" * 256, "ä" * 128])
def test_a_path_that_cannot_be_written_everywhere_is_refused(path):
    with pytest.raises(UserError, match="take a"):
        checked_path(Path(path))
