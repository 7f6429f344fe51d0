"""Names that become files."""

import pytest

from kdbench.inputs.names import unfit_name


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
