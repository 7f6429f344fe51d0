"""The commit is kdbench's own or none, and no program of the working folder is run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kdbench.environment import git_commit
from kdbench.environment.commit import PACKAGE, commit_of
from kdbench.environment.programs import ask

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.email=a@example.org", "-c", "user.name=a")
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def repository(folder: Path, *names: str) -> str:
    """A repository with files of these names, all of them tracked; its commit."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('[project]\nname = "kdbench"\n' if name.endswith(".toml") else "")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def test_a_checkout_of_kdbench_and_its_changes(tmp_path, monkeypatch):
    commit = repository(tmp_path, "pyproject.toml", "kdbench/__init__.py")
    package = tmp_path.resolve() / "kdbench"
    assert commit_of(package) == commit
    (package / "__init__.py").write_text("changed = True\n")
    assert commit_of(package) == f"{commit}+"
    # As in a hook of another repository.
    repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert commit_of(package) == f"{commit}+"


def test_a_repository_around_kdbench_is_not_kdbench_s(tmp_path):
    home = tmp_path.resolve()
    repository(home, "mine.py")
    # An environment inside of it; a copy beside its own files, tracked or not, whose project is another.
    for package in (home / ".venv/lib/python3.11/site-packages/kdbench", home / "kdbench"):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        assert commit_of(package) is None
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "two")
    assert commit_of(home / "kdbench") is None
    # Its project file beside a copy that is not tracked.
    (home / "pyproject.toml").write_text('[project]\nname = "kdbench"\n')
    git(home, "rm", "-q", "-r", "--cached", "kdbench")
    assert commit_of(home / "kdbench") is None


def test_this_checkout():
    if (PACKAGE.parent / ".git").exists():
        assert git_commit().removesuffix("+") == git(PACKAGE, "rev-parse", "HEAD")


def test_no_program_of_the_working_folder_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "git"
    program.write_text("#!/bin/sh\necho of the working folder\n")
    program.chmod(0o755)
    for path in ("", ".", ":", f".:{Path('sub')}", "./"):
        monkeypatch.setenv("PATH", path)
        assert ask("git", "--version") is None
    monkeypatch.setenv("PATH", f".:{tmp_path}")
    assert ask("git") == "of the working folder"  # its folder was named
    program.write_text("#!/bin/sh\nexit 1\n")
    assert ask("git") is None
