"""benchmarks/measure_gpu.sh from the command to the packed tables, by stages of hours."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from kdbench.plugins import load_plugins
from kdbench.selection import Selection, load_grid
from tests.cli.support import tiny_grid

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "measure_gpu.sh"
PLAN = SCRIPT.parent / "measure" / "plan.txt"
#: A single run, for every process that starts takes seconds.
GRID = """
dataset: digits
recipe: {epochs: 2, batch_size: 16, max_steps: 2, augmentation: {crop_padding: 1, flip: false}}
seeds: [0]
tables:
  - name: first
    title: A tiny table
    pairs: [resnet14:resnet8]
    rows: [{method: student}]
"""


def measure(*words):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run([SCRIPT, *map(str, words)], capture_output=True, text=True, env={**os.environ, "PATH": path})


def names(archive):
    with tarfile.open(archive) as packed:
        return {Path(name) for name in packed.getnames()}


def test_a_stage_out_of_time_stops_no_other_and_one_that_is_done_is_skipped(tmp_path):
    plan, work, out = tmp_path / "plan.txt", tmp_path / "work", tmp_path / "out"
    plan.write_text(
        f"# a line: of no stage\ngrid: teachers train resnet8\nswitches: run --grid {tiny_grid(tmp_path, GRID)}\n"
    )
    options = ["--device", "cpu", "--dataset", "digits", "--set", "recipe.epochs=1", "--set", "recipe.max_steps=2"]
    options += [
        "--plan",
        plan,
        "--work",
        work,
        "--output",
        out,
        "--stages",
        "grid,switches,switches",
        "--limit",
        "grid=0",
    ]
    ended = measure(*options)
    assert ended.returncode == 0, ended.stderr
    assert "grid: not all of it" in ended.stdout
    assert "switches: done in" in ended.stdout and "switches: done before" in ended.stdout
    assert {path.name for path in out.iterdir()} == {"records.tar.gz", "report.tar.gz", "bench.tar.gz"}
    assert len([path for path in names(out / "records.tar.gz") if path.suffix == ".json"]) == 1
    view = Path("report") / "1"
    files = {"table.text", "table.markdown", "table.csv", "table.json", "stats.text", "page.html", "command.txt"}
    made = names(out / "report.tar.gz")
    assert {view / name for name in files} <= made and any(path.suffix == ".svg" for path in made)
    assert [cell["n"] for cell in json.loads((work / view / "table.json").read_text())] == [1]
    environment = (work / "bench" / "environment.txt").read_text()
    assert "measure_gpu.sh --device cpu" in environment and "commit" in environment and "torch" in environment
    assert Path("bench") / "environment.txt" in names(out / "bench.tar.gz")


def test_the_plan_names_what_there_is():
    """Every line is a teacher or a selection of a grid; together they hold the whole of the paper's tables."""
    registry = load_plugins()
    lines = [line.split(": ", 1)[1].split() for line in PLAN.read_text().splitlines() if not line.startswith("#")]
    assert [registry.architecture(words[2]).name for words in lines if words[0] == "teachers"] == [
        "resnet32x4",
        "wrn_40_2",
        "vgg13",
    ]
    grids = []
    for _, *words in (words for words in lines if words[0] == "run"):
        given = dict(zip(words[::2], words[1::2], strict=True))
        parts = {name: tuple(given.get(f"--{name}", "").split(",")) for name in ("tables", "pairs", "methods")}
        selection = {name: words for name, words in parts.items() if words != ("",)}
        grids.append(load_grid(given["--grid"], registry, Selection.model_validate(selection)))
    assert grids[-2] == load_grid("cifar100", registry) and grids[-1].name == "dskd_switches"
    assert [[str(pair) for pair in grid.tables[0].pairs] for grid in grids[:2]] == [
        ["resnet32x4:resnet8x4"],
        ["wrn_40_2:wrn_16_2"],
    ]
