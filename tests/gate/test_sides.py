"""What tables call the cells of two sides."""

import json

from kdbench.gate.sides import Subject, titles


def subject(**params):
    return Subject("digits", None, "resnet8", "dks", json.dumps(params))


def test_titles_tell_apart_what_differs_in_parameters_alone():
    alone, *others = subject(tau=1.0), subject(tau=4.0), subject(tau=4.0, heads="authors")
    name = "dks resnet8 on digits"
    assert titles([alone]) == {alone: name}
    assert list(titles([alone, *others]).values()) == [
        f"{name} (tau 1.0)", f"{name} (tau 4.0)", f"{name} (tau 4.0, heads authors)",
    ]  # fmt: skip
    # At its default a parameter that was added later is not there, whoever comes first.
    expected = {others[0]: name, others[1]: f"{name} (heads authors)"}
    assert titles(others) == titles(others[::-1]) == expected
