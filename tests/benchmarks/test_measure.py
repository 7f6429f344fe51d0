"""The measurement on a GPU: stages within limits, resumed, independent of each other; what they ask for and leave."""

import json
import subprocess
import sys
import tarfile
import time
from importlib.metadata import distribution, distributions
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.measure import hours, minutes
from benchmarks.measure.bundle import Bundle
from benchmarks.measure.install import link_tree
from benchmarks.measure.measurement import Measurement
from benchmarks.measure.stages import NO_TIME, Runner
from benchmarks.measure.targets import judged

IGNORES_ITS_END = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True)\nwhile True: signal.pause()"
)
#: Seconds that no machine takes.
AGES = 1e6


class Process(subprocess.Popen):
    """One whose time is over when it has said something and hangs, by no clock."""

    def __init__(self, command, *, stdout, **how):
        super().__init__(command, stdout=stdout, **how)
        self.said = Path(stdout.name)

    def wait(self, timeout=None):
        if timeout is None or IGNORES_ITS_END not in self.args:
            return super().wait()
        while not self.said.stat().st_size:
            time.sleep(0.02)
        raise subprocess.TimeoutExpired(self.args, timeout)


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", Process)
    for name in ("done", "logs"):
        (tmp_path / name).mkdir()
    return Runner(tmp_path, time.monotonic() + AGES)


def python(runner, code, **how):
    return runner.run(sys.executable, "-c", code, **how)


def test_a_command_that_hangs_is_ended_and_the_next_stage_has_its_turn(runner, capsys):
    runner.stage("first", AGES, lambda: not python(runner, IGNORES_ITS_END, into=runner.folder / "said.txt"))
    runner.stage("second", AGES, lambda: not python(runner, "print('went on')"))
    said = capsys.readouterr().out
    assert "first: not all of it" in said and "second: done" in said
    assert (runner.folder / "said.txt").read_text() == "on\n"
    assert "asked to stop after" in (runner.folder / "logs" / "first.log").read_text()
    assert "went on" in (runner.folder / "logs" / "second.log").read_text()


def test_what_is_done_is_not_done_again_and_what_failed_is(runner, capsys):
    codes = []
    for _ in range(2):
        runner.stage("fails", AGES, lambda: not codes.append(python(runner, "raise SystemExit(3)")) and not codes[-1])
        runner.stage("works", AGES, lambda: True)
    assert codes == [3, 3]
    assert "works: done before" in capsys.readouterr().out


def test_what_there_is_no_time_for_is_not_begun(runner):
    runner.ends = time.monotonic()
    runner.stage("late", AGES, lambda: not python(runner, "raise SystemExit"))
    assert python(runner, "print('never')", into=runner.folder / "said.txt") == NO_TIME
    assert not (runner.folder / "said.txt").exists() and not (runner.folder / "done" / "late").exists()


def test_a_quarter_of_an_hour_gives_each_stage_its_most_and_the_table_the_rest():
    assert minutes.limits(minutes.STAGES, 900) == {"checks": 60, "train": 120, "kernels": 90, "table": 900}
    assert minutes.limits(["kernels", "table"], 900) == {"kernels": 90, "table": 900}


def test_fewer_minutes_are_shared_alike_and_leave_the_table_a_third():
    shares = minutes.limits(minutes.STAGES, 180)
    assert shares["train"] == 2 * shares["checks"]
    assert sum(shares[name] for name in minutes.MOST) == pytest.approx(120)
    assert minutes.limits(minutes.MOST, 270) | minutes.MOST == minutes.limits(minutes.MOST, 270)


def test_the_longest_recipe_that_fits_is_taken():
    pace = {"epoch_seconds": 5.0}
    assert [minutes.longest(pace, seconds) for seconds in (10, 150, 340, 1240)] == ["crd16", "crd16", "crd60", "crd240"]


class Noted:
    """A runner that notes commands, and answers for the measurement of the pace."""

    def __init__(self, folder):
        self.folder, self.left, self.words = folder, 500.0, []
        (folder / "bench").mkdir()

    def python(self, *words, into=None, seconds=None):
        self.words.append([str(word) for word in words])
        if into:
            into.write_text(json.dumps({"epoch_seconds": 5.0}))
        return 0

    def kdbench(self, *words, **how):
        return self.python("kdbench", *words, **how)


def settings(words):
    return [word for option, word in pairwise(words) if option == "--set"]


def test_a_second_call_goes_on_with_the_recipe_of_the_first(tmp_path):
    noted = Noted(tmp_path)
    given = Measurement(noted, "cuda", "parquet:there", [], tmp_path)
    assert minutes.table(given)
    noted.left = 5000.0
    assert minutes.table(given)
    names = [words[0].rpartition(".")[2] for words in noted.words]
    assert names == ["pace", *2 * ["kdbench", "kdbench", "kdbench", "views"]]
    for number, words in enumerate(words for words in noted.words if words[0] == "kdbench"):
        assert words[1:4] == ["run", "--recipe", "crd60"] and words[-4:] == [
            "--workers",
            "1",
            "--seeds",
            str(number % 3),
        ]


@pytest.mark.parametrize("device", minutes.SIZES)
def test_a_setting_replaces_the_tables_default_of_its_key_alone(device, tmp_path):
    noted, own = Noted(tmp_path), ["recipe.precision=fp32", " recipe.epochs =2", "dskd.beta=10"]
    minutes.table(Measurement(noted, device, "digits", own, tmp_path))
    defaults = {"cuda": [], "cpu": ["recipe.milestones=[]", "recipe.max_steps=4"]}[device]
    for words in noted.words[1:]:
        assert settings(words) == [*defaults, *own]


def test_hours_train_by_crd60_whatever_is_set(tmp_path):
    noted, plan = Noted(tmp_path), tmp_path / "plan.txt"
    plan.write_text("grid: run --grid cifar100\n")
    for own in ([], ["recipe.precision=bf16"]):
        noted.words.clear()
        assert hours.grid(Measurement(noted, "cuda", "digits", own, plan))
        assert [words[0].rpartition(".")[2] for words in noted.words] == ["kdbench", "views"]
        for words in noted.words:
            assert words[words.index("--recipe") + 1] == "crd60" and settings(words) == own


def test_no_recipe_is_settled_on_where_nothing_can_be_begun(tmp_path):
    noted = Noted(tmp_path)
    noted.left = minutes.VIEWS
    minutes.table(Measurement(noted, "cuda", "parquet:there", [], tmp_path))
    assert "recipe" not in json.loads((tmp_path / "bench" / "pace.json").read_text())


def test_a_seed_that_is_not_finished_is_the_last(tmp_path):
    noted = Noted(tmp_path)
    noted.kdbench = lambda *words, **how: noted.python("kdbench", *words) or 143
    assert not minutes.table(Measurement(noted, "cuda", "parquet:there", [], tmp_path))
    assert [words[0].rpartition(".")[2] for words in noted.words] == ["pace", "kdbench", "views"]


@pytest.mark.parametrize(
    ("part", "found", "variables"),
    [
        ("kd", {"ok": False, "works": False}, {"KDBENCH_LOSS_BACKEND": "analytic"}),
        ("deep_mse", {"ok": False, "works": True}, {"KDBENCH_LOSS_BACKEND": "analytic"}),
        ("step", {"ok": False, "works": False}, {"KDBENCH_STEP": "eager"}),
        ("step", {"ok": False, "works": True}, {}),
        ("doctor", {"ok": False, "works": False}, {}),
    ],
)
def test_training_goes_without_what_failed_its_check(part, found, variables, runner):
    (runner.folder / "bench").mkdir()
    (runner.folder / "bench" / "checks.json").write_text(json.dumps({part: found, "ce_kd": {"ok": True}}))
    runner.ends = time.monotonic()
    assert not minutes.train(Measurement(runner, "cuda", "", [], runner.folder))
    assert runner.variables == variables


def test_every_stage_asks_for_what_there_is(tmp_path):
    """On both kinds of device each command's options are known, and each name in them."""
    from kdbench.bench.cases import IMPLEMENTATIONS, SIZES
    from kdbench.plugins import load_plugins
    from kdbench.recipe import load_recipe
    from kdbench.selection import Selection, load_grid

    registry = load_plugins()
    for size in minutes.SIZES.values():
        teacher, student = size.pair.split(":")
        assert registry.architecture(teacher) and registry.architecture(student)
        train = dict(zip(size.train[::2], size.train[1::2], strict=True))
        assert all(registry.method(name) for name in train["--methods"].split(","))
        for words in size.kernels:
            given = dict(zip(words[::2], words[1::2], strict=True))
            assert set(given["--sizes"].split(",")) <= SIZES.keys()
            assert set(given["--implementations"].split(",")) <= set(IMPLEMENTATIONS)
        table = dict(zip(size.table[::2], size.table[1::2], strict=True))
        grid = load_grid(table["--grid"], registry, Selection(methods=tuple(table["--methods"].split(","))))
        assert {row.method for row in grid.tables[0].rows} == {"student", "kd", "dskd"}
    assert {name: load_recipe(name, {}).epochs for name in minutes.RECIPES} == minutes.RECIPES


def test_figures_stand_beside_what_is_aimed_at(tmp_path):
    def kernel(operator, samples, share, median):
        timing = {"median": median, "low": median, "high": median}
        shared = {"implementation": "triton", "direction": "both", "graph": True, "size": "s"}
        return {"operator": operator, "samples": samples, "share": share, "timing": timing, **shared}

    assert judged(tmp_path) == "nothing has been measured yet"
    for name, content in {
        "checks": {
            "kd": {"ok": True, "found": {}, "seconds": 1.0},
            "step": {"ok": False, "found": "E", "seconds": 2.0},
        },
        "train-bf16": {"rows": [{"name": "cohort of 8", "of_plain": 0.04, "of_good": 0.5}]},
        "kernels-1": {"rows": [kernel("deep_kd+deep_mse", 64, 0.1, 9e-6), kernel("deep_kd", 65536, 0.8, 1.0)]},
        "pace": {"step_seconds": {"teacher": 0.002, "together": 0.0035}, "recipe": "crd60"},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    lines = judged(tmp_path).splitlines()
    assert lines[:2] == ["check kd: fine (1.0 s)", "check step: E (2.0 s)"]
    assert [line.rpartition(": ")[2] for line in lines[2:7]] == ["met", "MISSED", "met", "MISSED", "met"]
    assert lines[7] == "step of the teacher: 2 ms; recipe crd60"


def test_what_goes_home_is_a_few_files(tmp_path):
    work = tmp_path / "work"
    for name in ("results/records", "results/weights", "report", "bench", "logs"):
        (work / name).mkdir(parents=True)
        (work / name / "file").write_text("x")
    for run, role in (("t", "teacher"), ("s", "student")):
        record = {"id": run, "status": "done", "run": {"role": role}}
        (work / "results" / "records" / f"{run}.json").write_text(json.dumps(record))
        (work / "results" / "weights" / f"{run}.safetensors").write_text(run)
    for _ in range(2):
        Bundle(work, tmp_path / "out").pack("all is well")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"records.tar.gz", "report.tar.gz", "bench.tar.gz", "weights.tar", "summary.txt"}
    with tarfile.open(tmp_path / "out" / "weights.tar") as packed:
        assert packed.getnames() == ["weights/t.safetensors"]
    with tarfile.open(tmp_path / "out" / "bench.tar.gz") as packed:
        assert packed.getnames() == ["bench", "bench/file", "logs", "logs/file"]


def test_a_linked_tree_is_found_with_its_plugins(tmp_path):
    root = Path(__file__).parents[2]
    link_tree(root, tmp_path / "site")
    (linked,) = distributions(path=[str(tmp_path / "site")])
    ours = distribution("kdbench")
    assert (linked.name, linked.version) == ("kdbench", ours.version)
    mine, theirs = (
        {(entry.group, entry.name, entry.value) for entry in found.entry_points} for found in (linked, ours)
    )
    assert mine == {entry for entry in theirs if entry[0] != "console_scripts"}
    assert (tmp_path / "site" / "kdbench_methods" / "kd.py").samefile(root / "methods" / "kd.py")
