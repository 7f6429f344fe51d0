"""Plugins are loaded guardedly: what is wrong with one is said by name and takes nothing else down."""

import importlib.metadata
import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

import kdbench
from kdbench import plugins
from kdbench.inputs.errors import UserError
from kdbench.supervised import Supervised
from tests.cli.support import kdbench as kdbench_command
from tests.support import tiny_architecture


@dataclass
class Entry:
    """An installed entry point."""

    name: str
    value: str
    load: object
    dist: object


def install(monkeypatch, *found, version="1.0"):
    """Entry points beside the built-in ones; each is (distribution, name, what loading gives or raises)."""
    real = list(importlib.metadata.entry_points(group="kdbench"))

    def loader(thing):
        def load():
            if isinstance(thing, BaseException):
                raise thing
            return thing

        return load

    fake = [
        Entry(name, f"{distribution}.{name}", loader(thing), SimpleNamespace(name=distribution, version=version))
        for distribution, name, thing in found
    ]
    monkeypatch.setattr(plugins, "_entry_points", lambda: [*real, *fake])
    plugins.load_plugins.cache_clear()
    return plugins.load_plugins()


@pytest.fixture(autouse=True)
def _fresh_registry():
    yield
    plugins.load_plugins.cache_clear()


def offering(*names):
    """A plugin with methods of these names."""

    class Offering:
        @kdbench.hookimpl
        def kdbench_methods(self):
            return [type(name, (Supervised,), {"name": name}) for name in names]

    return Offering()


def test_an_installed_plugin_is_listed_with_what_it_brought(monkeypatch):
    registry = install(monkeypatch, ("extra", "mine", offering("mine")))
    assert registry.method("mine").name == "mine"
    assert registry.plugin_of("method", "mine").origin == "mine (extra 1.0)"
    assert not registry.problems


@pytest.mark.parametrize(
    "error", [ImportError("no module named nothing"), SyntaxError("bad"), RuntimeError("boom"), SystemExit(0)]
)
def test_one_that_cannot_be_loaded_is_reported_and_the_rest_works(monkeypatch, error):
    registry = install(monkeypatch, ("broken-dist", "broken", error), ("extra", "mine", offering("mine")))
    (problem,) = registry.problems
    assert "broken (broken-dist 1.0)" in problem and type(error).__name__ in problem and str(error) in problem
    assert registry.method("mine") and registry.method("kd")


def test_an_interrupt_while_loading_goes_on(monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        install(monkeypatch, ("slow-dist", "slow", KeyboardInterrupt()))


@pytest.mark.parametrize("error", [ValueError("not today"), SystemExit("not today")])
def test_one_whose_hook_raises_is_reported(monkeypatch, error):
    class Raising:
        @kdbench.hookimpl
        def kdbench_methods(self):
            raise error

    registry = install(monkeypatch, ("raising-dist", "raising", Raising()))
    (problem,) = registry.problems
    assert "raising (raising-dist 1.0)" in problem and "kdbench_methods" in problem and "not today" in problem
    assert registry.method("kd")


class NoMethod:
    """What has a name and is not derived from `kdbench.Method`."""

    name = "wrong"


class PlainParams(Supervised):
    """A method whose parameters are not typed."""

    name = "wrong"

    class Params:
        """Not derived from `kdbench.MethodParams`."""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (NoMethod, "it is no class derived from `kdbench.Method`; derive it from that"),
        (NoMethod(), "it is no class derived from `kdbench.Method`; derive it from that"),
        (PlainParams, "its `Params` is no class derived from `kdbench.MethodParams`; derive it from that"),
        (
            type("NoParams", (Supervised,), {"name": "wrong", "Params": None}),
            "its `Params` is no class derived from `kdbench.MethodParams`; derive it from that",
        ),
    ],
)
def test_what_is_no_method_is_refused_and_the_rest_works(monkeypatch, value, why):
    class Offering:
        @kdbench.hookimpl
        def kdbench_methods(self):
            return [value, type("mine", (Supervised,), {"name": "mine"})]

    registry = install(monkeypatch, ("wrong-dist", "some", Offering()))
    assert registry.problems == [f"method 'wrong' of plugin some (wrong-dist 1.0) is not in use: {why}"]
    assert "wrong" not in registry.names("method") and registry.method("mine")


def test_what_is_no_architecture_is_refused_and_the_rest_works(monkeypatch):
    class Offering:
        @kdbench.hookimpl
        def kdbench_architectures(self):
            return [type("Wrong", (), {"name": "wrong"})(), tiny_architecture("mine", (2, 3), (1, 2))]

    registry = install(monkeypatch, ("wrong-dist", "some", Offering()))
    why = "it is no `kdbench.Architecture`; make it one"
    assert registry.problems == [f"architecture 'wrong' of plugin some (wrong-dist 1.0) is not in use: {why}"]
    assert "wrong" not in registry.architectures and registry.architecture("mine")


def test_a_misspelt_hook_is_caught(monkeypatch):
    class Misspelt:
        @kdbench.hookimpl
        def kdbench_method(self):
            return []

    registry = install(monkeypatch, ("typo-dist", "typo", Misspelt()))
    (problem,) = registry.problems
    assert "typo (typo-dist 1.0)" in problem and "kdbench_method" in problem


def test_a_name_registered_twice_is_refused_naming_both(monkeypatch):
    registry = install(
        monkeypatch, ("first-dist", "one", offering("twin", "own")), ("second-dist", "two", offering("twin"))
    )
    with pytest.raises(UserError) as refusal:
        registry.method("twin")
    assert "one (first-dist 1.0)" in str(refusal.value) and "two (second-dist 1.0)" in str(refusal.value)
    assert registry.problems and registry.method("own").name == "own"
    assert "twin" not in registry.usable("method")


def test_two_distributions_may_use_one_entry_point_name(monkeypatch):
    registry = install(monkeypatch, ("first-dist", "plugin", offering("a1")), ("second-dist", "plugin", offering("a2")))
    assert registry.method("a1") and registry.method("a2") and not registry.problems


def test_unknown_names_are_answered_by_the_nearest():
    registry = plugins.load_plugins()
    with pytest.raises(UserError, match=r"unknown method 'fitnett'; did you mean 'fitnet'\? `kdbench list methods`"):
        registry.method("fitnett")
    with pytest.raises(UserError, match="did you mean 'MobileNetV2'"):
        registry.architecture("mobilnetv2")
    assert registry.architecture("mobilenetv2").name == "MobileNetV2"


@pytest.mark.parametrize("error", [RuntimeError("observer trouble"), SystemExit("observer trouble")])
def test_an_observer_that_raises_is_reported_once_and_stops_nothing(caplog, error):
    registry, seen = plugins.load_plugins(), []

    class Bad:
        @kdbench.hookimpl
        def kdbench_run_started(self, run):
            raise error

    class Good:
        @kdbench.hookimpl
        def kdbench_run_started(self, run):
            seen.append(run)

    with registry.observing(Bad(), Good()):
        registry.notify("kdbench_run_started", run=1)
        registry.notify("kdbench_run_started", run=2)
    registry.notify("kdbench_run_started", run=3)
    assert seen == [1, 2]
    assert sum("observer trouble" in record.message for record in caplog.records) == 1


def test_a_plugin_file_brings_its_methods(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import kdbench\nfrom kdbench.supervised import Supervised\n"
        "class Mine(Supervised):\n    name = 'mine'\n"
        "@kdbench.hookimpl\ndef kdbench_methods():\n    return [Mine]\n"
    )
    assert plugins.load_plugins((path,)).method("mine").name == "mine"


def test_a_plugin_file_is_the_same_module_wherever_it_lies(tmp_path, monkeypatch):
    def loaded_from(folder):
        path = tmp_path / folder / "wherever.py"
        path.parent.mkdir()
        path.write_text(
            "import kdbench\nfrom kdbench.supervised import Supervised\n"
            "class Mine(Supervised):\n    name = 'mine'\n"
            "@kdbench.hookimpl\ndef kdbench_methods():\n    return [Mine]\n"
        )
        return plugins.load_plugins((path,)).method("mine").__module__

    assert loaded_from("one") == "kdbench_file_wherever"
    # Beside the first, the name is taken; in another process it is not.
    assert loaded_from("two") == "kdbench_file_wherever_2"
    monkeypatch.delitem(sys.modules, "kdbench_file_wherever")
    assert loaded_from("three") == "kdbench_file_wherever"


def test_a_plugin_file_that_fails_is_a_users_mistake(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(UserError, match=r"bad\.py: loading failed: ModuleNotFoundError"):
        plugins.load_plugins((path,))


def test_a_plugin_file_that_imports_a_module_beside_it_is_told_how(tmp_path):
    (tmp_path / "nearby_losses.py").touch()
    for name, said in (
        ("nearby_losses", rf"it imports nearby_losses, which lies beside it, .*: set PYTHONPATH={tmp_path}; mend it"),
        ("far_losses", "loading failed: ModuleNotFoundError: No module named 'far_losses'; mend it"),
    ):
        (tmp_path / "mine.py").write_text(f"from {name}.inner import f\n")
        with pytest.raises(UserError, match=said):
            plugins.load_plugins((tmp_path / "mine.py",))


def test_a_plugin_file_that_exits_when_imported_is_a_users_mistake(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("import sys\nsys.exit(0)\n")
    result = kdbench_command("list", "methods", "--plugin", path)
    assert result.code == 2 and not result.out
    assert result.err == f"kdbench: plugin file {path}: loading failed: SystemExit: 0; mend it or leave --plugin out\n"


def test_a_plugin_file_s_own_user_error_stands_without_a_class_name(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("from kdbench.inputs.errors import UserError\nraise UserError('no such thing')\n")
    with pytest.raises(UserError, match=r"^plugin file .*bad\.py: loading failed: no such thing; mend it"):
        plugins.load_plugins((path,))


def test_a_plugin_file_that_is_not_there_or_not_python_is_said_once(tmp_path):
    missing, text = tmp_path / "nothere.py", tmp_path / "notes.txt"
    text.write_text("")
    for path, sentence in (
        (missing, f"plugin file {missing} does not exist; give --plugin the path of a Python file."),
        (text, f"plugin file {text} is not a Python file; its name must end in .py."),
    ):
        with pytest.raises(UserError) as refusal:
            plugins.load_plugins((path,))
        assert str(refusal.value) == sentence


def test_a_plugin_without_hooks_is_reported(tmp_path):
    path = tmp_path / "empty.py"
    path.write_text("def kdbench_methods():\n    return []\n")
    (problem,) = plugins.load_plugins((path,)).problems
    assert problem.startswith(f"plugin empty ({path} file) brings nothing: it has no hook; define one")


def test_a_plugin_file_is_what_it_says_now_whatever_was_compiled_of_it_before(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for citation in ("first", "other"):
        path.write_text(FILE.format(citation=citation))
        os.utime(path, (10**9, 10**9))
        plugins.load_plugins.cache_clear()
        assert plugins.load_plugins((path,)).method("mine").citation == citation
    assert not (tmp_path / "__pycache__").exists()


FILE = """
import kdbench
class Mine(kdbench.Method):
    name = "mine"
    citation = "{citation}"
    formula = {{"ce": "CE"}}
@kdbench.hookimpl
def kdbench_methods():
    return [Mine]
"""
