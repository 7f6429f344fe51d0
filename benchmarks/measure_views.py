"""Tables, statistics, figures and a page for each line of a plan that trains a grid.

`python benchmarks/measure_views.py PLAN FOLDER OPTIONS…` writes FOLDER/1, FOLDER/2, … in the plan's order; the options
are those that the runs were made with. All in one process, because starting one takes longer than most views do.
"""

import contextlib
import io
import shlex
import sys
from pathlib import Path

from kdbench.cli.main import app
from kdbench.inputs.errors import UserError


def kdbench(*words: str) -> str:
    """What `kdbench WORDS` prints."""
    sys.argv = ["kdbench", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        app(list(words), standalone_mode=False)
    return out.getvalue()


def views(folder: Path, selection: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for format in ("text", "markdown", "csv", "json"):
        (folder / f"table.{format}").write_text(kdbench("table", *selection, "--format", format))
    (folder / "stats.text").write_text(kdbench("stats", *selection))
    kdbench("report", *selection, "-o", str(folder / "page.html"))
    with contextlib.suppress(UserError):  # no run is finished yet
        kdbench("figures", *selection, "-o", str(folder / "figures"))


def main(plan: Path, folder: Path, options: list[str]) -> None:
    lines = [line.split() for line in plan.read_text().splitlines()]
    selections = [words[2:] for words in lines if words[1:2] == ["run"]]
    for number, words in enumerate(selections, 1):
        views(folder / str(number), [*words, *options])
        (folder / str(number) / "command.txt").write_text(shlex.join(["kdbench", "run", *words, *options]) + "\n")


main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
