"""A command imports what it needs and no more: each of the modules named here takes a tenth of a second to seconds."""

import json
import subprocess
import sys

import pytest

from kdbench.cli import completion
from kdbench.store import kept
from tests.cli.support import kdbench, tiny_grid

HELP = """
import contextlib, io, sys
from kdbench.cli.app import app
from kdbench.cli.main import main
import typer

def paths(command, path):
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, [*path, name])

def told(*words):
    sys.argv = ["kdbench", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    return out.getvalue()

for path in list(paths(typer.main.get_command(app), [])):
    assert "Usage: kdbench " + " ".join(path) in told(*path, "--help"), path
assert told("--version").startswith("kdbench ")
"""
SLOW = ("torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "pyarrow", "pluggy", "yaml", "rich")


def loaded(code: str, modules: tuple[str, ...]) -> list[str]:
    """Which of these modules a new process has imported after `code`."""
    code += f"\nimport sys\nprint(*{set(modules)} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_what_lies_in_the_working_folder_is_not_imported(tmp_path):
    for name in ("signal", "typing", "typer", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of the working folder')\n")
    command = [sys.executable, "-m", "kdbench", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("kdbench ") and done.returncode == 0, done.stderr


def test_help_of_every_command_and_the_version():
    assert loaded(HELP, SLOW) == []


def test_what_spreads_the_wish_to_stop_on_a_cluster():
    assert loaded("import kdbench.execution.cluster.stop", SLOW) == []


COMPLETE = """
import os, sys, io, contextlib
from kdbench.cli.main import main
from kdbench.store import kept
from pathlib import Path
kept.cache_folder = lambda: Path(os.environ["KEPT"])
for words, expected in (
    ("kdbench ta", ["table"]),
    ("kdbench show vgg1", ["vgg11", "vgg13", "vgg16", "vgg19"]),
    ("kdbench table --grid qui", ["quick"]),
    ("kdbench run --methods student,dsk", ["student,dskd"]),
    ("kdbench run --recipe crd2", ["crd240"]),
    ("kdbench run --dataset dig", ["digits"]),
    ("kdbench teachers train wrn_16_", ["wrn_16_1", "wrn_16_2"]),
):
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    os.environ.update(environment | {"_KDBENCH_COMPLETE": "complete_bash"})
    sys.argv = ["kdbench"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    assert out.getvalue().split() == expected, (words, out.getvalue())
"""


def test_completion_of_names_that_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    assert kdbench("list", "methods").code == 0
    monkeypatch.setenv("KEPT", str(tmp_path))
    assert loaded(COMPLETE, SLOW) == []


def test_completion_of_names_that_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    (tmp_path / "names.json").write_text('{"installed": [], "method": ["gone"]}')
    assert completion.several("method")("kd,simk") == ["kd,simkd"]
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "names.json")
    assert completion.names("recipe")("crd2") == [], "no place to keep them: none"


GRID = "--grid tiny.yaml --results runs"
LISTING = [
    *(f"list {kind}" for kind in ("methods", "architectures", "datasets", "grids", "recipes", "plugins")),
    "list methods --json",
    *(f"show {name}" for name in ("kd", "dskd --json", "kd --set kd.tau=2", "digits", "quick", "crd240")),
    *(f"table {GRID} --format {format}" for format in ("text", "markdown", "csv", "latex")),
    f"table {GRID} --json --best",
    "show kdd",
    "table --grid quick --methods nobody",
]
JUDGING = [
    f"stats {GRID}",
    f"stats {GRID} --json",
    "check --no-run --baseline baseline.json --results runs",
    f"run {GRID}",
    f"run {GRID} --json",
]
#: What is wrong with a method's parameters its class alone can say.
ASKING = ["show kd --set kd.tau=warm", f"table {GRID} --set kd.alpha=-1"]
READ = """
import contextlib, io, json, sys
from kdbench.cli.main import main
told = []
for words in sys.argv[1:]:
    sys.argv = ["kdbench", *words.split()]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            told.append(([words, end.code, out.getvalue(), err.getvalue()], [*sys.modules]))
print(json.dumps(told))
"""
UNNEEDED = {"torch", "torchvision", "sympy", "sklearn", "matplotlib", "pyarrow", "PIL", "kdbench.method"}


def read(*commands: str) -> list:
    """Each of the commands with its code, output and errors, and the modules that are loaded after it."""
    done = subprocess.run([sys.executable, "-c", READ, *commands], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_commands_that_train_nothing(tmp_path, tmp_path_factory, monkeypatch):
    """They answer without PyTorch once they have answered before, and to the letter what they answered before."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.chdir(tmp_path)
    tiny_grid(tmp_path)
    assert kdbench("run", *GRID.split(), "--workers", 1).code == 0
    assert kdbench("baseline", "save", "baseline.json", *GRID.split()).code == 0
    commands = [*LISTING, *JUDGING, *ASKING]
    first, second = read(*commands), read(*commands)
    answers = [[words, *vars(kdbench(*words.split())).values()] for words in commands]
    assert [told for told, _ in first] == answers and [told for told, _ in second] == answers
    assert {code for _, code, *_ in answers} == {0, 2}
    assert "torch" in first[0][1]
    loaded = [{*modules} for _, modules in second]
    assert loaded[len(LISTING) - 1] & (UNNEEDED | {"scipy", "numpy", "rich"}) == set()
    assert loaded[len(LISTING) + len(JUDGING) - 1] & UNNEEDED == set()
