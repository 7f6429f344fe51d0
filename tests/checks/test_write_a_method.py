"""The page docs/write-a-method.md, done: files written, commands run in a fresh environment, outputs compared."""

import re
import shlex
from pathlib import Path

import pytest

from kdbench.checks.suite import CHECKS
from tests import processes
from tests.checks.sandbox import make_sandbox
from tests.pages import blocks

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[2] / "docs" / "write-a-method.md"


def test_the_page_works_from_top_to_bottom(tmp_path, monkeypatch):
    sandbox = make_sandbox(tmp_path)
    monkeypatch.chdir(sandbox.folder)

    def typed(line, exit_code):
        """What a command printed; until the page installs something, its imports are those of any other test."""
        if installed or not line.startswith("kdbench "):
            return sandbox.run(line, exit_code=exit_code)
        out = tmp_path / "out"
        ended = processes.start(*shlex.split(line)[1:], out=out, err=out, env={"COLUMNS": "120"}).wait()
        told = out.read_text()
        out.unlink()
        assert ended == exit_code, f"{line}\n{told}"
        return told

    installed = False
    printed = {}
    for block in blocks(PAGE):
        if block.language == "python" and block.about:
            (sandbox.folder / block.about).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            compile(block.text, PAGE.name, "exec")
        elif block.language == "sh":
            expected = int(block.about.removeprefix("exit=") or 0)
            last = "".join(typed(line, expected) for line in block.text.splitlines())
            installed = installed or "pip install" in block.text
            printed[block.text] = last
        else:
            assert block.language == "text"
            assert [line for line in block.text.splitlines() if line not in last] == []
    *_, tests, grid = printed.values()
    assert f"{len(CHECKS) - 1} passed, 2 skipped" in tests  # neither teacher_free nor diagnose, but the numbers' test
    assert "(kdbench-pooled-hint 0.1.0)" in grid and re.search(r"pooled_hint.* \d+\.\d\d", grid)


def test_the_page_names_every_check():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    assert rows == list(CHECKS)
