"""Every folder and data file of the source tree is in what gets installed; which versions of others it needs."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import yaml

import kdbench

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
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


def test_the_lowest_versions_are_those_that_are_allowed():
    """What `tox -e lowest` installs is what pyproject.toml promises to work with."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    needed = [*PYPROJECT["project"]["dependencies"], *(need for extra in extras.values() for need in extra)]
    lowest = {found.expand(r"\1==\2") for need in needed if (found := re.fullmatch(r"([\w-]+)>=([\d.]+)", need))}
    lines = (ROOT / "tests" / "lowest.txt").read_text().splitlines()
    assert sorted(line for line in lines if not line.startswith("#")) == sorted(lowest)


def test_the_workflow_runs_what_tox_has_by_actions_that_do_not_change():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
    tox = (ROOT / "tox.ini").read_text()
    for name in re.findall(r"environment: (\w+)", text):
        assert f"[testenv:{name}]" in tox


def test_the_api_page_has_every_public_name():
    named = re.findall(r"^::: kdbench\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), flags=re.M)
    assert sorted(named) == sorted({*kdbench.__all__, "hookspecs"} - {"hookimpl"})
