"""Which files a method's code is, and which releases."""

import functools
import hashlib
import importlib
import sys
import types

import pytest

from kdbench.environment import distributions
from kdbench.environment.sources import Sources, module_of

FILES = {
    "fancy/__init__.py": "from fancy.method import Method\n",
    "fancy/method.py": "import json\nfrom fancy import shared\nfrom .pieces.maps import attention\n"
    "from kdbench import Method\n",
    "fancy/shared.py": "def f():\n    from fancy.late import LATE\n    return LATE\n",
    "fancy/late.py": "LATE = 1\n",
    "fancy/other.py": "UNUSED = 1\n",
    "fancy/pieces/__init__.py": "",
    "fancy/pieces/maps.py": "from ..shared import f\nimport fancy.pieces.norms as norms\n\n\ndef attention(): ...\n",
    "fancy/pieces/norms.py": "from . import maps\n",
    # What lies outside of a method's package, in every way that Python can be told to import it.
    "plain.py": "import beside\nimport space.inner\nfrom space import another\nimport json, torch, numpy\n"
    "import importlib\nimportlib.import_module('by_name')\n\n\ndef f():\n    import late_helper\n"
    "    return importlib.import_module('.norms', 'fancy.pieces'), __import__('tools.deep').deep\n",
    "beside.py": "from tools import deep\n",
    "by_name.py": "",
    "late_helper.py": "import late_helper  # itself\nimport no_such_module\n",
    "space/inner.py": "",
    "space/another.py": "",
    "tools/__init__.py": "from tools import constants\n",
    "tools/constants.py": "",
    "tools/deep.py": "",
    "tools/unused.py": "",
    "computed.py": "import importlib\nname = 'by_' + 'name'\nhelper = importlib.import_module(name)\n",
    "published/__init__.py": "import beside\n",
    "user.py": "def f():\n    import published.part\n",
    "published/part.py": "",
    "published-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: Published-Losses\nVersion: 1.2\n",
    "published-1.2.dist-info/RECORD": "published/__init__.py,,\npublished/part.py,,\n",
    "dotted.py": "import tools.deep\n",
    "nested.py": "def f():\n    from maps.of.attention import x\n    from maps import of\n    import maps.of.none\n",
    "maps/of/attention.py": "x = 1\n",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    tops = {name.partition("/")[0].removesuffix(".py") for name in FILES}
    yield tmp_path
    distributions._distributions.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def code(module):
    return Sources().of(module)


def test_a_module_and_what_it_imports_within_its_package(folder):
    found = code("fancy.method").files
    assert list(found) == ["fancy.late", "fancy.method", "fancy.pieces.maps", "fancy.pieces.norms", "fancy.shared"]
    assert found["fancy.late"] == hashlib.sha256(b"LATE = 1\n").hexdigest()


def test_a_change_of_a_shared_file_shows_and_of_another_does_not(folder):
    before = code("fancy.method").files
    (folder / "fancy/other.py").write_text("UNUSED = 2\n")
    assert code("fancy.method").files == before
    (folder / "fancy/late.py").write_text("LATE = 2\n")
    after = code("fancy.method").files
    assert {name for name in after if after[name] != before[name]} == {"fancy.late"}


def test_what_a_compiler_adds_to_a_module_does_not_count(folder):
    module, other = map(importlib.import_module, ("fancy.method", "dotted"))
    before = code("fancy.method")
    # As Dynamo names what it came through.
    vars(module)["__import_dotted"] = other
    assert code("fancy.method") == before
    vars(module)["held"] = other
    assert "dotted" in code("fancy.method").files


def test_a_file_that_no_longer_parses_is_told_by_its_own_digest(folder):
    importlib.import_module("fancy.method")
    (folder / "fancy/shared.py").write_text("def broken(:\n")
    assert "fancy.shared" in code("fancy.method").files


def test_the_user_s_other_modules_count_however_they_are_imported_and_nothing_is_imported_to_know(folder):
    before = set(sys.modules)
    found = code("plain")
    assert not found.packages
    assert list(found.files) == [
        "beside", "by_name", "fancy.late", "fancy.pieces.maps", "fancy.pieces.norms", "fancy.shared", "late_helper",
        "plain", "space.another", "space.inner", "tools.deep",
    ]  # fmt: skip
    assert set(sys.modules) == before
    # `import tools.deep` gives all that `tools` has.
    assert list(code("dotted").files) == ["dotted", "tools", "tools.constants", "tools.deep"]
    # No folder of these has an `__init__.py`.
    assert list(code("nested").files) == ["maps.of.attention", "nested"] and set(sys.modules) == before


def test_a_module_that_was_loaded_by_a_computed_name_or_from_a_path_counts(folder):
    module = importlib.import_module("computed")
    assert list(code("computed").files) == ["by_name", "computed"]
    module.loaded = types.ModuleType("loaded_from_a_path")
    module.loaded.__file__ = str(folder / "tools/unused.py")
    assert list(code("computed").files) == ["by_name", "computed", "loaded_from_a_path"]


def test_what_is_loaded_under_a_name_is_what_ran(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "by_name", types.ModuleType("by_name"))
    sys.modules["by_name"].__file__ = str(folder / "beside.py")
    assert code("plain").files["by_name"] == code("plain").files["beside"]


def test_of_a_release_the_version_counts_and_of_a_folder_s_or_a_plugin_s_the_files(folder, monkeypatch):
    assert code("user").packages == {"Published-Losses": "1.2"} and list(code("user").files) == ["user"]
    # Its own methods count file by file, wherever they lie.
    assert list(code("published").files) == ["beside", "published", "tools.deep"]
    (folder / "published-1.2.dist-info/direct_url.json").write_text("{}")
    of_a_folder = code("user")
    assert list(of_a_folder.files) == ["beside", "published", "published.part", "tools.deep", "user"]
    assert not of_a_folder.packages
    (folder / "published-1.2.dist-info/INSTALLER").write_text("conda\n")
    assert code("user").packages
    monkeypatch.setattr(distributions, "_plugins", lambda: {"Published-Losses"})
    assert code("user") == of_a_folder


def test_the_harness_s_own_modules_and_others_releases_are_no_files():
    nothing = code("no.such.module")
    assert code("kdbench.supervised") == nothing and not nothing.files and not nothing.packages
    # What the built-in methods rest on is their own files: records that exist stay fresh.
    found = code("kdbench_methods.dskd")
    assert "kdbench_methods.dskd" in found.files and not found.packages
    assert [name for name in found.files if not name.startswith("kdbench_methods.")] == []
    assert code("tests.gpu").packages.keys() == {"pytest"}


def test_where_things_are_defined():
    assert module_of(functools.partial(code, "x")) == __name__
    assert module_of(functools.partial) == "functools"
