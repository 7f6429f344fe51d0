"""The wheel alone, unpacked where an installer would put it, has every file and runs `quick`."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
FOLDERS = {"kdbench": "kdbench", "methods": "kdbench_methods", "architectures": "kdbench_architectures"}
PAIR = yaml.safe_load((ROOT / "kdbench" / "grids" / "quick.yaml").read_text(encoding="utf-8"))["tables"][0]["pairs"][0]

BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
#: Commands of one process that finds kdbench nowhere else, also where that is installed from a tree.
RUN = f"""
import sys

place = sys.argv[1]
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in finder.__module__]
sys.path = [place, *(path for path in sys.path if path != {str(ROOT)!r})]

from kdbench.cli.main import main

COMMANDS = (
    ["run", "--grid", "quick", "--pairs", "{PAIR}", "--methods", "kd", "--seeds", "0", "--workers", "1"]
    + ["--set", "recipe.epochs=1", "--set", "recipe.max_steps=1", "--set", "recipe.milestones=[]"],
    ["new-method", "from_the_wheel"],
)
for words in COMMANDS:
    sys.argv = ["kdbench", *words]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
own = [module for name, module in sys.modules.items() if name.partition(".")[0] in {set(FOLDERS.values())}]
assert len(own) > 100 and all(module.__file__.startswith(place) for module in own), own
"""


def files(folder: Path) -> set[str]:
    """What lies in a folder of packages; neither what Python makes there nor what an installer writes of the wheel."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.as_posix() for path in found if not path.parts[0].endswith(".dist-info")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder with the packages, made of nothing but what builds them."""
    tree, place = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("site-packages")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    built = subprocess.run([sys.executable, "-c", BUILD, "dist"], cwd=tree, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tree / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    shutil.rmtree(tree)
    return place


def test_it_has_every_file(installed):
    expected = {f"{name}/{file}" for folder, name in FOLDERS.items() for file in files(ROOT / folder)}
    assert files(installed) == expected


def test_it_runs_quick_and_writes_a_new_method(installed, tmp_path):
    done = subprocess.run([sys.executable, "-c", RUN, str(installed)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results" / "runs" / "records").glob("*.json"))) == 2
    assert (tmp_path / "results" / "runs" / "report-quick.html").stat().st_size > 10_000
    assert (tmp_path / "kdbench-from-the-wheel" / "pyproject.toml").exists()
