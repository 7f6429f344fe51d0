"""The pages on writing a network and a data set, done: files written, commands run, outputs compared."""

import ast
import shlex
from pathlib import Path

import pytest

from tests.cli.support import kdbench
from tests.pages import blocks

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(("page", "trained"), [("write-a-network.md", 1), ("write-a-dataset.md", 2)])
def test_the_page_works_from_top_to_bottom(page, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tables = 0
    for block in blocks(DOCS / page):
        if block.language == "python" and block.about:
            Path(block.about).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            ast.parse(block.text)
        elif block.language == "sh":
            command, *words = shlex.split(block.text)
            done = kdbench(*words)
            assert command == "kdbench" and done.code == 0, done.err
            tables += "top-1 test accuracy" in done.out
        else:
            assert block.language == "text"
            assert [line for line in block.text.splitlines() if line not in done.out.splitlines()] == []
    assert tables == trained
