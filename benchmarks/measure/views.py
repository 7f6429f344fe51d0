"""Tables, statistics, figures and a page of selections of a grid, each in a folder of its own.

`python -m benchmarks.measure.views FOLDER PLAN OPTIONS…` writes FOLDER/1, FOLDER/2, … for the lines of a plan that
train a grid, in its order; with `-` for PLAN, FOLDER/1 for the options alone. The options are those of the runs. All in
one process, because starting one takes longer than most views do.
"""

import contextlib
import io
import shlex
import sys
from pathlib import Path

from kdbench.cli.app import app
from kdbench.inputs.errors import UserError


def kdbench(*words: str) -> str:
    """What `kdbench WORDS` prints."""
    sys.argv = ["kdbench", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        app(list(words), standalone_mode=False)
    return out.getvalue()


def views(folder: Path, selection: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "command.txt").write_text(shlex.join(["kdbench", "run", *selection]) + "\n")
    for format in ("text", "markdown", "csv"):
        (folder / f"table.{format}").write_text(kdbench("table", *selection, "--format", format))
    (folder / "table.json").write_text(kdbench("table", *selection, "--json"))
    (folder / "stats.text").write_text(kdbench("stats", *selection))
    with contextlib.suppress(UserError):  # no run is finished yet
        kdbench("report", *selection, "-o", str(folder / "page.html"))
        kdbench("figures", *selection, "-o", str(folder / "figures"))


def main(folder: Path, plan: str, options: list[str]) -> None:
    lines = [["", "run"]] if plan == "-" else [line.split() for line in Path(plan).read_text().splitlines()]
    for number, words in enumerate((words[2:] for words in lines if words[1:2] == ["run"]), 1):
        views(folder / str(number), [*words, *options])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
