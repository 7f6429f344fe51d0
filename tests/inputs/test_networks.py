"""How networks and pairs are written."""

import pytest

from kdbench.inputs.errors import UserError
from kdbench.inputs.networks import NetworkOfScheme, network_of_scheme, splits


def test_a_name_without_a_scheme_is_no_networks_of_one():
    assert network_of_scheme("wrn_16_2") is None


@pytest.mark.parametrize(
    ("text", "settings", "canonical"),
    [
        ("zoo:net", {}, "zoo:net"),
        ("zoo:net+rate=0.10", {"rate": 0.1}, "zoo:net+rate=0.1"),
        ("zoo:net+wide=true+depth=3", {"wide": True, "depth": 3}, "zoo:net+depth=3+wide=true"),
        ("zoo:net+pool=avg", {"pool": "avg"}, "zoo:net+pool=avg"),
    ],
)
def test_settings_stand_behind_the_name_in_one_order(text, settings, canonical):
    written = network_of_scheme(text)
    assert written == NetworkOfScheme("zoo", "net", settings)
    assert str(written) == canonical
    assert network_of_scheme(canonical) == written


@pytest.mark.parametrize("text", ["zoo:net+", "zoo:net+rate", "zoo:net+=1", "zoo:net+rate=", "zoo:net+rate=[1, 2]"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(UserError, match="setting"):
        network_of_scheme(text)


def test_a_setting_is_named_once():
    with pytest.raises(UserError, match="names rate twice"):
        network_of_scheme("zoo:net+rate=1+rate=2")


@pytest.mark.parametrize(
    ("text", "ways"),
    {
        "a:b": [("a", "b")],
        "a:b:c": [("a", "b:c"), ("a:b", "c")],
        "a:b:c:d": [("a:b", "c:d")],
        "a": [],
        "a:": [],
        "a::b": [],
        "a:b:c:d:e": [],
    }.items(),
)
def test_a_pair_is_read_in_every_way_there_is(text, ways):
    assert list(splits(text)) == ways
