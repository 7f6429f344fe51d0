"""The command line inside the test process."""

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from kdbench.cli.main import main

#: Two epochs of two small batches: enough to go through everything.
TINY_GRID = """
dataset: digits
recipe: {epochs: 2, batch_size: 16, max_steps: 2, augmentation: {crop_padding: 1, flip: false}}
seeds: [0, 1]
tables:
  - name: first
    title: A tiny table
    pairs: [resnet14:resnet8]
    rows: [{method: student, label: Student}, {method: kd, label: KD}]
"""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


def kdbench(*words: object, figures: bool = False) -> Result:
    """Run `kdbench WORDS`; an exception other than an exit is a failed test.

    Unless `figures` are asked for, the page that `kdbench run` writes has none: they take longer than tiny runs.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", ["kdbench", *map(str, words)]))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        if words[:1] == ("run",) and not figures:
            stack.enter_context(mock.patch("kdbench.report.page.render.figures", lambda *_: ()))
        # How fast this machine is matters to no test of what is said of it.
        stack.enter_context(mock.patch("kdbench.execution.estimate.BUSY_FLOPS", 1))
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    return Result(code, out.getvalue(), err.getvalue())


def tiny_grid(folder: Path, text: str = TINY_GRID) -> Path:
    """A grid file of a few seconds."""
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


@contextlib.contextmanager
def convolutions() -> Iterator[set[bool]]:
    """Of the convolutions made inside: whether they may round to TF32 on a GPU, which PyTorch allows by default."""
    seen: set[bool] = set()

    def look(module, inputs):
        if isinstance(module, torch.nn.Conv2d) and inputs[0].device.type != "meta":
            seen.add(torch.backends.cudnn.allow_tf32)

    hook = register_module_forward_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()
