"""What is remembered of plugins is what they would say now, or nothing."""

import json
import os

import pytest

from kdbench import plugins
from kdbench.cli.questions import citation
from kdbench.environment import footing
from kdbench.environment.footing import Footing
from kdbench.inputs.errors import UserError
from kdbench.plugins import known_plugins, load_plugins
from kdbench.registered import memory
from kdbench.registered.loaded import Loaded
from kdbench.registered.memory import Memory
from kdbench.store import kept

PLUGIN = """
import kdbench
class Mine(kdbench.Method):
    name = "mine"
    citation = "{citation}"
    @classmethod
    def weights(cls, params):
        return {{"ce": 1.0}}
@kdbench.hookimpl
def kdbench_methods():
    return [Mine]
"""


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Begins as a new process would that has loaded nothing but what it is told of; gives the plugins that it knows.

    The modules of the test process, which other tests may have changed, are none of it.
    """
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "home")
    monkeypatch.setattr(plugins, "_REMEMBERS", True)
    monkeypatch.setattr(footing, "_BEGAN", float("inf"))
    monkeypatch.setattr(memory, "footing_of_process", lambda packages: Footing())
    monkeypatch.setattr(memory.atexit, "register", lambda save: saves.append(save))
    saves = []
    loads = []
    load = Loaded.__init__
    monkeypatch.setattr(Loaded, "__init__", lambda loaded, *given: (loads.append(1), load(loaded, *given))[1])

    def begin(*files, ask=()):
        load_plugins.cache_clear()
        saves.clear(), loads.clear()
        registry = known_plugins(files)
        answers = [registry.ask(citation, name) for name in ask]
        for save in saves:
            save()
        return registry, answers, bool(loads)

    yield begin
    load_plugins.cache_clear()


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.format(citation="first"))
    return file


def test_plugins_are_loaded_for_what_is_not_known_and_then_no_more(process):
    registry, answers, loaded = process(ask=["kd"])
    assert loaded and answers == [registry.method("kd").citation]
    again, answered, loaded = process(ask=["kd"])
    assert not loaded and answered == answers
    assert again.offers == registry.offers
    assert process(ask=["dskd"])[2], "not asked before"
    assert not process(ask=["kd", "dskd"])[2], "both were kept"


def test_a_program_that_has_pytorch_remembers_nothing(process, monkeypatch):
    monkeypatch.setattr(plugins, "_REMEMBERS", False)
    for _ in range(2):
        assert process(ask=["kd"])[2]
    assert kept.entries(memory.NAME) == {}


def test_a_plugin_that_was_changed(process, mine):
    assert process(mine, ask=["mine"])[1:] == (["first"], True)
    assert process(mine, ask=["mine"])[1:] == (["first"], False)
    times = mine.stat()
    mine.write_text(PLUGIN.format(citation="other"))
    # A file system's clock may stand still for some milliseconds, and the two seconds that `settled` asks for are over
    # at once here.
    while mine.stat().st_ctime_ns == times.st_ctime_ns:
        os.utime(mine, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(mine, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert process(mine, ask=["mine"])[1:] == (["other"], True), "of the same size, with its times set back"
    mine.unlink()
    with pytest.raises(UserError, match="does not exist"):
        process(mine)


def test_other_plugin_files_are_remembered_apart(process, mine):
    process(mine, ask=["mine"])
    registry, _, loaded = process()
    assert loaded and "mine" not in registry.names("method")
    assert not process()[2] and not process(mine)[2]


def test_a_file_that_is_newer_than_the_process(process, mine, monkeypatch):
    monkeypatch.setattr(footing, "_BEGAN", mine.stat().st_ctime + footing.SETTLED - 0.1)
    for _ in range(2):
        assert process(mine)[2], "what was loaded may have been the one before"


def test_a_file_that_is_none(process, mine, monkeypatch):
    monkeypatch.setattr(memory, "footing_of_process", lambda packages: Footing.of([f"{mine}/in_an_archive.py"]))
    for _ in range(2):
        assert process(mine)[2]


def test_a_plugin_that_is_broken(process, monkeypatch):
    entries = [*plugins._entry_points(), Broken()]
    monkeypatch.setattr(plugins, "_entry_points", lambda: entries)
    for _ in range(2):
        registry, _, loaded = process()
        assert loaded and any("not in use" in problem for problem in registry.problems)


class Broken:
    """An entry point whose module raises."""

    name, value, dist = "broken", "broken", None

    def load(self):
        raise RuntimeError("once more")


def test_an_error_is_no_answer(process):
    registry, _, _ = process()
    with pytest.raises(UserError, match="unknown method"):
        registry.ask(citation, "nobody")
    assert not Memory().answers


@pytest.mark.parametrize("damage", ["{", "[]", "null", '{"KEY": 1}', '{"KEY": ["0", "{}"]}', '{"KEY": [1, 2, 3]}'])
def test_a_damaged_memory(process, tmp_path, damage):
    process(ask=["kd"])
    path = tmp_path / "home" / memory.NAME
    (key,) = json.loads(path.read_text())
    path.write_text(damage.replace("KEY", key))
    assert process(ask=["kd"])[2], "made anew"
    assert not process(ask=["kd"])[2]


def test_an_answer_that_was_edited(process, tmp_path):
    process(ask=["kd"])
    path = tmp_path / "home" / memory.NAME
    path.write_text(path.read_text().replace("Hinton", "Nobody"))
    _, answers, loaded = process(ask=["kd"])
    assert loaded and "Hinton" in answers[0]


def test_a_home_that_cannot_be_written(process, tmp_path):
    (tmp_path / "home").write_text("a file")
    for _ in range(2):
        _, answers, loaded = process(ask=["kd"])
        assert loaded and "Hinton" in answers[0]


def test_answers_are_what_json_makes_of_them():
    registry = load_plugins()
    assert registry.ask(_tuples, "a") == {"given": ["a", [1.5, None]]}
    assert registry.ask(_nothing) is None


def _tuples(registry, text):
    return {"given": (text, (1.5, None))}


def _nothing(registry):
    return None
