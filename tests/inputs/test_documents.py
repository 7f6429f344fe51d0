"""YAML from outside: what is given twice, what is no YAML, and how values are written."""

import pytest

from kdbench.inputs.documents import read_value, read_yaml, written
from kdbench.inputs.errors import UserError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: [0]\nname: a\nseeds: [1]", "gives the key 'seeds' twice, in lines 1 and 3"),
        ("a: {b: [{tau: 2, tau: 8}]}", "gives the key 'tau' twice in line 1"),
        ("{x: 1, y: 2, x: 1}: 3", "gives the key 'x' twice in line 1"),
        ('a: 1\n"a": 2', "gives the key 'a' twice, in lines 1 and 2"),
        (
            "a:\n\tb: 1",
            "line 2: found character '\\t' that cannot start any token; YAML is indented",
        ),
        ("title: AT: with maps", "line 1: mapping values are not allowed here; a text that holds"),
        ("a: 1\n b: 2", "line 2: mapping values are not allowed here; a text"),
        ("a: [1\nb: 2", "line 2: expected ',' or ']', but got ':'"),
        ("- 1\n- 2", "holds a list; write keys"),
        ("a: Gr\xf6\xdfe".encode("latin-1"), "is no text in UTF-8 (invalid start byte); save it as UTF-8."),
        ("a: 1".encode("utf-16-le"), "is no text in UTF-8"),
    ],
)
def test_a_bad_file_is_told_its_line(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refusal:
        read_yaml(path)
    assert said in str(refusal.value) and str(path) in str(refusal.value)


def test_one_key_in_two_mappings_is_given_once(tmp_path):
    path = tmp_path / "fine.yaml"
    path.write_text("a: {x: 1}\nb: [{x: 2}, {x: 3}]\n")
    assert read_yaml(path) == {"a": {"x": 1}, "b": [{"x": 2}, {"x": 3}]}


def test_a_value_typed_with_a_key_twice_is_refused():
    with pytest.raises(UserError, match=r"--set kd\.x gives the key 'a' twice in line 1"):
        read_value("{a: 1, a: 2}", "--set kd.x")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (3, "3"), ("kd", "'kd'"), ({"a": [1, None]}, "{a: [1, null]}"), (1e-4, "0.0001")],
)
def test_values_are_written_as_yaml(value, text):
    assert written(value) == text
