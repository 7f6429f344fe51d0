"""A command imports what it needs and no more: each of the modules named here takes a tenth of a second to seconds."""

import subprocess
import sys

from kdbench.cli import completion
from kdbench.store import kept
from tests.cli.support import kdbench

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


READING = """
import contextlib, io, os, sys
from pathlib import Path
from kdbench.cli.main import main
from kdbench.store import kept
kept.cache_folder = lambda: Path(os.environ["KEPT"])
for words in ("list methods", "list architectures", "list datasets", "list grids", "show kd", "table --grid quick",
              "stats --grid quick"):
    sys.argv = ["kdbench", *words.split()]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    assert out.getvalue(), words
"""
UNNEEDED = ("torchvision", "scipy", "sklearn", "matplotlib", "pyarrow", "PIL", "torch._dynamo", "sympy", "rich")


def test_commands_that_train_nothing(tmp_path, monkeypatch):
    """Once the shapes of a grid's networks are known; statistics of results that are there take SciPy."""
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path)
    assert kdbench("table", "--grid", "quick").code == 0
    monkeypatch.setenv("KEPT", str(tmp_path))
    assert loaded(READING, UNNEEDED) == []
