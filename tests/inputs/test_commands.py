"""Commands that are printed and recorded can be pasted."""

import shlex
import sys

from kdbench.inputs.commands import command_line, kdbench

WORDS = ["run", "--results", "my results", "--set", "recipe.milestones=[4, 6]", "--grid", "it's $HOME; `x`", ""]


def test_a_shell_reads_the_words_that_were_given(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/where/__main__.py", *WORDS])
    assert shlex.split(command_line()) == shlex.split(kdbench(*WORDS)) == ["kdbench", *WORDS]
