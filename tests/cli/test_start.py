"""A command imports what it needs and no more: each of the modules named here takes a tenth of a second to seconds."""

import subprocess
import sys

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
