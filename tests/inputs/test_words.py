"""Names, paths and settings that cannot be are refused with exit code 2, and nothing is written."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import kdbench as package
from kdbench import plugins
from kdbench.supervised import Supervised
from tests.cli.support import kdbench
from tests.inputs.support import check_refused, read_setting, refused, tiny_grid, unchanged
from tests.inputs.words import NAMES, PATHS, SETTINGS
from tests.support import tiny_architecture
from tests.test_plugins import install


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, which a command must leave as it is."""
    monkeypatch.chdir(tmp_path)
    tiny_grid(tmp_path)
    with unchanged(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_no_command_takes_it_for_a_name(name: str) -> None:
    check_refused(kdbench("new-method", "--", name))
    check_refused(kdbench("diagnose", "--", name))
    if name:  # none is asked for a grid, and lists them
        check_refused(kdbench("run", f"--grid={name}"))


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_written_there(path: str) -> None:
    check_refused(kdbench("run", "--grid", "sound.yaml", "--results", path))
    check_refused(kdbench("new-method", "mine", "--directory", path))


@pytest.mark.parametrize("setting", SETTINGS, ids=range(len(SETTINGS)))
def test_it_is_no_setting(folder: Path, setting: str) -> None:
    refused(lambda: read_setting(setting, folder / "sound.yaml"))


@pytest.mark.parametrize("setting", SETTINGS[::5])
def test_the_command_refuses_it_as_setting_and_as_candidate(setting: str) -> None:
    check_refused(kdbench("run", "--grid", "sound.yaml", f"--set={setting}"))
    check_refused(kdbench("run", "--grid", "sound.yaml", f"--vary={setting}"))


@pytest.mark.parametrize("kind", ["method", "architecture", "dataset", "grid", "paper table"])
def test_a_plugin_cannot_register_it(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, kind: str
) -> None:
    request.addfinalizer(plugins.load_plugins.cache_clear)

    def offers(*bad: str) -> list[object]:
        if kind == "method":
            return [type("Named", (Supervised,), {"name": name}) for name in (*bad, "fine")]
        if kind == "architecture":
            return [tiny_architecture(name, (2, 3), (1, 2)) for name in (*bad, "fine")]
        if kind in ("grid", "paper table"):
            return [SimpleNamespace(stem=name) for name in (*bad, "fine")]
        return [SimpleNamespace(name=name) for name in (*bad, "fine")]

    hook = "kdbench_" + kind.replace(" ", "_") + "s"
    bad = (*NAMES, None, 3, b"bytes")
    plugin = type("Offering", (), {hook: package.hookimpl(lambda self: offers(*bad))})()
    plugin.__class__.__dict__[hook].__name__ = hook
    registry = install(monkeypatch, ("evil-dist", "evil", plugin))
    assert "fine" in registry.names(kind) and not set(bad) & set(registry.names(kind))
    assert len(registry.problems) == len(bad)
    for name, problem in zip(bad, registry.problems, strict=True):
        assert problem.startswith(f"{kind} {name!r} of plugin evil (evil-dist 1.0) is not in use: ")
        assert "\n" not in problem
