"""Which files a method's code is."""

import functools
import hashlib
import importlib
import sys

import pytest

from kdbench.environment.sources import module_of, source_digests

FILES = {
    "__init__.py": "from fancy.method import Method\n",
    "method.py": "import json\nfrom fancy import shared\nfrom .pieces.maps import attention\n"
    "from kdbench import Method\n",
    "shared.py": "def f():\n    from fancy.late import LATE\n    return LATE\n",
    "late.py": "LATE = 1\n",
    "other.py": "UNUSED = 1\n",
    "pieces/__init__.py": "",
    "pieces/maps.py": "from ..shared import f\nimport fancy.pieces.norms\n\n\ndef attention(): ...\n",
    "pieces/norms.py": "from . import maps\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "fancy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "fancy"
    for name in [name for name in sys.modules if name.partition(".")[0] == "fancy"]:
        del sys.modules[name]


def test_a_module_and_what_it_imports_within_its_package(package):
    found = source_digests("fancy.method")
    assert list(found) == [
        "fancy.late",
        "fancy.method",
        "fancy.pieces.maps",
        "fancy.pieces.norms",
        "fancy.shared",
    ]
    assert found["fancy.late"] == hashlib.sha256(b"LATE = 1\n").hexdigest()


def test_a_change_of_a_shared_file_shows_and_of_another_does_not(package):
    before = source_digests("fancy.method")
    (package / "other.py").write_text("UNUSED = 2\n")
    assert source_digests("fancy.method") == before
    (package / "late.py").write_text("LATE = 2\n")
    after = source_digests("fancy.method")
    assert {name for name in after if after[name] != before[name]} == {"fancy.late"}


def test_a_file_that_no_longer_parses_is_told_by_its_own_digest(package):
    importlib.import_module("fancy.method")
    (package / "shared.py").write_text("def broken(:\n")
    assert "fancy.shared" in source_digests("fancy.method")


def test_the_harness_s_own_modules_and_others_packages_do_not_count():
    assert source_digests("kdbench.supervised") == {} and source_digests("no.such.module") == {}
    found = source_digests("kdbench_methods.dskd")
    assert "kdbench_methods.dskd" in found and not any(name.startswith(("kdbench.", "torch")) for name in found)


def test_where_things_are_defined():
    assert module_of(functools.partial(source_digests, "x")) == "kdbench.environment.sources"
    assert module_of(functools.partial) == "functools"
