"""The commit that kdbench runs from."""

from __future__ import annotations

import functools
import os
import tomllib
from pathlib import Path

from kdbench.environment.programs import ask

PACKAGE = Path(__file__).resolve().parents[1]
#: Variables by which git takes another repository than that of the folder.
_OF_A_REPOSITORY = frozenset({
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE",
})  # fmt: skip


@functools.cache
def git_commit() -> str | None:
    """Commit of the checkout that kdbench runs from, with `+` if its files were changed; None outside a checkout.

    A repository that merely has an environment with kdbench in it, or a copy of kdbench among its files, is none.
    """
    return commit_of(PACKAGE)


def commit_of(package: Path) -> str | None:
    """The same for the package in a given folder."""
    root = package.parent
    # A git hook names its own repository in variables.
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}

    def git(*words: str) -> str | None:
        return ask("git", "-C", str(root), *words, environment=environment)

    top = git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != root or not _is_source_tree(root):
        return None
    tracked = git("ls-files", "--error-unmatch", "--", "pyproject.toml", f"{package.name}/__init__.py")
    commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    return commit + ("+" if changed else "") if tracked and commit and changed is not None else None


def _is_source_tree(root: Path) -> bool:
    try:
        described = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    project = described.get("project")
    return isinstance(project, dict) and project.get("name") == "kdbench"
