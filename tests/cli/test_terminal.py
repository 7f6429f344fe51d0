"""Nothing that a file or a plugin names reaches the terminal as a command to it."""

import io
import json
import sys
from contextlib import redirect_stdout

import pytest

from kdbench.cli.console import Terminal
from kdbench.cli.main import main
from kdbench.cli.options import RESULTS
from kdbench.inputs.streams import filtered
from kdbench.inputs.visible import visible
from kdbench.store.store import Store
from tests.cli.support import TINY_GRID, kdbench, tiny_grid
from tests.report.fabricate import expansion_of, fabricate

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\r\x08"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± text → μ", "plain ± text → μ"),
        ("two\n\tlines", "two\n\tlines"),
        ("\x1b[2J", r"\u001b[2J"),
        ("\x9b\x7f\r", r"\u009b\u007f\u000d"),
        ("\u202eab\u2066", r"\u202eab\u2066"),
        ("\U000e0041", r"\udb40\udc41"),
        ("\udcff", r"\udcff"),
    ],
)
def test_control_characters_become_visible(text, shown):
    assert visible(text) == shown


def test_json_stays_json():
    assert json.loads(visible(json.dumps({"a": EVIL}, ensure_ascii=False))) == {"a": EVIL}


@pytest.mark.parametrize("command", ["table", "report", "list", "run"])
def test_labels_titles_and_descriptions(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    text = TINY_GRID.replace("A tiny table", json.dumps(EVIL)).replace("label: KD", f"label: {json.dumps(EVIL)}")
    grid = tiny_grid(tmp_path, f"description: {json.dumps(EVIL)}\n{text}")
    if command == "list":
        plugin = tmp_path / "plugin.py"
        plugin.write_text(
            "from pathlib import Path\nimport kdbench\n"
            f"@kdbench.hookimpl\ndef kdbench_grids():\n    return [Path({str(grid)!r})]\n"
        )
        words = ["list", "grids", "--plugin", plugin]
    else:
        words = [command, "--grid", grid, *(["--dry-run"] if command == "run" else [])]
    if command == "report":
        for record in fabricate(expansion_of(str(grid))).values():
            Store(RESULTS).write(record)
    result = kdbench(*words)
    assert result.code == 0, result.err
    printed = result.out + result.err
    assert visible(printed) == printed
    assert command not in ("table", "list") or "\\u001b" in printed


def test_errors_show_what_was_typed(tmp_path):
    for words in (["show", EVIL], ["table", "--grid", EVIL], ["run", "--grid", tiny_grid(tmp_path), "--set", EVIL]):
        result = kdbench(*words)
        assert result.code == 2 and visible(result.err) == result.err and result.err.count("\n") == 1


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _able_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")


def test_rich_draws_past_the_filter_and_shows_texts_through_it():
    with redirect_stdout(Screen()) as screen, filtered():
        Terminal().print(f"a {EVIL}")
        Terminal().show_cursor(False)
        print(f"b {EVIL}")
    text = screen.getvalue()
    assert text.count("\x1b") == 1 and text.count(r"\u001b") == 4


def test_progress_is_drawn_on_a_terminal(monkeypatch, tmp_path):
    words = ["--methods", "student", "--seeds", "0", "--results", str(tmp_path / "r"), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", ["kdbench", "run", "--grid", str(tiny_grid(tmp_path)), *words])
    with redirect_stdout(Screen()) as screen, pytest.raises(SystemExit, match="0"):
        main()
    assert "\x1b[?25l" in screen.getvalue() and r"\u001b" not in screen.getvalue()


def test_what_a_failing_plugin_says_of_itself(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import kdbench\nfrom kdbench.supervised import Supervised\n"
        "class Mine(Supervised):\n    name = 'mine'\n"
        f"    def terms(self, *_):\n        raise RuntimeError({EVIL!r})\n"
        "@kdbench.hookimpl\ndef kdbench_methods():\n    return [Mine]\n"
    )
    words = ["--methods", "mine", "--seeds", 0, "--plugin", plugin, "--results", tmp_path / "r", "--workers", 1]
    result = kdbench("run", "--grid", tiny_grid(tmp_path), *words)
    printed = result.out + result.err
    assert result.code == 1 and r"\u001b" in printed and visible(printed) == printed
