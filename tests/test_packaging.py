"""Every folder and data file of the source tree is in what gets installed."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {"kdbench": "kdbench", "methods": "kdbench_methods", "architectures": "kdbench_architectures"}


def packages():
    """Import name → folder of everything that holds Python files."""
    found = {}
    for folder, name in FOLDERS.items():
        for path in sorted({file.parent for file in (ROOT / folder).rglob("*.py")}):
            found[".".join([name, *path.relative_to(ROOT / folder).parts])] = path
    return found


def test_every_package_is_listed():
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages())


def test_every_data_file_is_listed():
    for name, path in packages().items():
        patterns = SETUPTOOLS["package-data"].get(name, [])
        for file in path.iterdir():
            if file.is_file() and file.suffix != ".py":
                assert any(fnmatch(file.name, pattern) for pattern in patterns), file
