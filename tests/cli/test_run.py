"""`kdbench run` from the command line, on a grid of seconds."""

import itertools
import json
import re
import shlex

import pytest

from kdbench.cli.planned import precision_warning
from kdbench.execution import costs
from kdbench.execution.deadline import Deadline
from kdbench.execution.schedule import Summary, execute
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.recipe import load_recipe
from kdbench.selection import load_grid
from kdbench.store import kept
from tests.cli.support import TINY_GRID, kdbench, tiny_grid
from tests.gpu import CPU


def test_trains_prints_the_table_and_trains_nothing_the_second_time(tmp_path):
    grid, results = tiny_grid(tmp_path), tmp_path / "results"
    first = kdbench("run", "--grid", grid, "--results", results, "--workers", 1, figures=True)
    assert first.code == 0, first.err
    assert (results / "report-tiny.html").read_text().count("<svg ") > 2
    assert "4 runs: 4 to train; 1 teacher, 1 to train first." in first.out
    assert "learning rate 0.05: resnet14, resnet8" in first.out
    assert "recipe: 2 epochs in batches of 16; the learning rate stays; momentum 0.9, weight" in first.out
    assert re.search(r"kd resnet14→resnet8 seed 0: \d+\.\d\d % \(best \d+\.\d\d %\), took [\d.]+ s", first.out)
    assert re.search(r"teacher resnet14: .*, took [\d.]+ s; about \d+ s left", first.out)
    assert "Student" in first.out and "KD" in first.out and "(2)" in first.out
    written = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    second = kdbench("run", "--grid", grid, "--results", results, "--workers", 1)
    assert second.code == 0
    assert "Nothing to train: all 4 runs are finished." in second.out
    assert second.out.split("first: A tiny table")[1] == first.out.split("first: A tiny table")[1]
    assert written == {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}


def test_workers_give_the_numbers_of_one_process(tmp_path):
    grid = tiny_grid(tmp_path)
    alone = kdbench("run", "--grid", grid, "--results", tmp_path / "a", "--workers", 1, "--json")
    side_by_side = kdbench("run", "--grid", grid, "--results", tmp_path / "b", "--workers", 2, "--json")
    assert alone.code == side_by_side.code == 0
    assert json.loads(alone.out) == json.loads(side_by_side.out)


def test_a_method_may_be_written_in_several_ways_and_no_setting_of_it_is_lost(tmp_path):
    words = ["--grid", tiny_grid(tmp_path), "--results", tmp_path / "results", "--methods", "kd", "--dry-run", "--json"]
    once, twice = (
        json.loads(kdbench("run", *words, "--set", "kd.tau=2", "--set", f"{name}.alpha=3").out)["runs"]
        for name in ("kd", "KD")
    )
    assert once == twice
    varied = kdbench("run", *words, "--vary", "kd.tau=2", "--vary", "KD.alpha=3,5").out
    assert len(json.loads(varied)["runs"]) == 3 * len(once)


def test_what_other_processes_trained_is_counted(tmp_path, monkeypatch):
    def by_others(*given):
        return Summary(others=execute(*given).records)

    monkeypatch.setattr("kdbench.execution.schedule.execute", by_others)
    words = ["--grid", tiny_grid(tmp_path), "--results", tmp_path / "results", "--methods", "student", "--workers", 1]
    assert "2 runs trained by other processes." in kdbench("run", *words).out


def test_it_stops_by_itself_after_a_time_and_goes_on(tmp_path, monkeypatch):
    asked = itertools.count()
    monkeypatch.setattr(Deadline, "reached", lambda self: next(asked) > 5)
    results = tmp_path / "results"
    words = ["run", "--grid", tiny_grid(tmp_path), "--results", results, "--workers", 1, "--methods", "student"]
    stopped = kdbench(*words, "--for", "8m")
    assert stopped.code == 0, stopped.err
    command = shlex.join(["kdbench", *map(str, words), "--for", "8m"])
    said = "Stopped after 8m; what is finished is kept and the rest goes on where it was. To go on: "
    assert f"{said}{command}\n" in stopped.out
    assert [*results.glob("checkpoints/*.safetensors")] or [*results.glob("records/*.json")]
    assert kdbench(*words).code == 0 and len([*results.glob("records/*.json")]) == 2
    # A time that is long enough changes nothing, and nonsense is refused before anything is done.
    assert "Nothing to train" in kdbench(*words, "--for", "1h30m").out
    refused = kdbench(*words, "--for", "soon")
    assert refused.code == 2 and refused.err.startswith("kdbench: --for takes a time such as 30s")


def test_a_larger_selection_trains_only_what_is_new(tmp_path):
    grid, results = tiny_grid(tmp_path), tmp_path / "results"
    kdbench("run", "--grid", grid, "--results", results, "--methods", "kd", "--seeds", "0", "--workers", 1)
    more = kdbench("run", "--grid", grid, "--results", results, "--methods", "kd", "--workers", 1)
    assert "2 runs: 1 finished, 1 to train; 1 teacher, trained already." in more.out


def test_a_page_that_was_not_written_after_the_last_record_is_written_by_the_next_command(tmp_path, monkeypatch):
    words = ["run", "--grid", tiny_grid(tmp_path), "--results", tmp_path / "results", "--workers", 1, "--seeds", "0"]
    page = tmp_path / "results" / "report-tiny.html"
    assert kdbench(*words, "--methods", "student").code == 0 and "KD" not in page.read_text()

    def killed(*_, **__):
        raise UserError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("kdbench.cli.training.write_report", killed)
        assert kdbench(*words).code == 2
    assert "Nothing to train" in kdbench(*words).out and "KD" in page.read_text()
    before = page.stat()
    assert "Nothing to train" in kdbench(*words).out and page.stat() == before


def test_dry_run_touches_nothing_and_counts(tmp_path):
    results = tmp_path / "results"
    told = kdbench("run", "--grid", "cifar100", "--dry-run", "--json", "--results", results)
    plan = json.loads(told.out)
    assert len(plan["runs"]) == len({run["id"] for run in plan["runs"]}) == 195
    assert [teacher["student"] for teacher in plan["teachers"]] == ["wrn_40_2", "vgg13", "resnet32x4"]
    assert plan["done"] == [] and 1e18 < plan["flops"] < plan["flops_without_sharing"]
    assert not results.exists()
    rates = {run["student"]: run["recipe"]["lr"] for run in plan["runs"]}
    assert rates["MobileNetV2"] == rates["ShuffleV2"] == 0.01 and rates["vgg8"] == 0.05


def test_dry_run_prints_the_resolved_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "home")
    path = tiny_grid(tmp_path)
    told = kdbench("run", "--grid", path, "--dry-run", "--results", tmp_path / "results")
    assert told.code == 0
    assert " on " in costs.known(load_grid(str(path), load_plugins())), "for the list of grids"
    assert told.out.count("to train   ") == 5
    assert "FLOPs" in told.out and "4 runs: 4 to train" in told.out


def test_a_cpu_without_instructions_for_a_precision_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("kdbench.cli.planned.slow_in_bf16", lambda device: True)
    told = dry_run("--precision", "bf16", "--results", tmp_path / "results", "--json")
    (warning,) = json.loads(told.out)["warnings"]
    assert "no instructions for bf16" in warning and "--precision fp32" in warning
    assert precision_warning(load_recipe("crd240"), CPU) is None
    monkeypatch.setattr("kdbench.cli.planned.slow_in_bf16", lambda device: False)
    assert precision_warning(load_recipe("crd240", {"precision": "bf16"}), CPU) is None


def dry_run(*words):
    return kdbench("run", "--grid", "cifar100", "--pairs", "vgg13:vgg8", "--methods", "kd", "--dry-run", *words)


def test_a_recipe_by_name_is_the_students_and_the_teachers(tmp_path):
    plan = json.loads(dry_run("--recipe", "crd60", "--set", "recipe.gamma=0.2", "--results", tmp_path, "--json").out)
    assert plan["warnings"] == []
    for run in (*plan["runs"], *plan["teachers"]):
        recipe = run["recipe"]
        assert (recipe["epochs"], recipe["milestones"], recipe["gamma"]) == (60, [37, 45, 52], 0.2)


def test_milestones_beyond_the_last_epoch_are_warned_of(tmp_path):
    warned = dry_run("--set", "recipe.epochs=180", "--results", tmp_path)
    assert warned.code == 0
    (line,) = [line for line in warned.out.splitlines() if line.startswith("warning: ")]
    assert "recipe: training ends with epoch 180" in line and "drops (after 180 and 210);" in line
    assert "warning" not in dry_run("--recipe", "crd60", "--results", tmp_path).out


def test_a_learning_rate_of_no_networks_family_is_warned_of(tmp_path):
    told = dry_run("--set", "recipe.lr_by_family.mobilnet=0.3", "--results", tmp_path)
    (line,) = [line for line in told.out.splitlines() if line.startswith("warning: ")]
    assert "recipe: lr_by_family names 'mobilnet', which no network belongs to; families: mobilenet, resnet," in line


def test_a_teacher_recipe_of_its_own_is_printed_and_warned_of(tmp_path):
    grid = tiny_grid(tmp_path, TINY_GRID + "teacher_recipe: {epochs: 3, milestones: [2, 4]}\n")
    told = kdbench("run", "--grid", grid, "--dry-run", "--results", tmp_path / "results")
    assert "\nteachers' recipe: 3 epochs in batches of 64; the learning rate × 0.1 after epochs 2 and 4; " in told.out
    assert (
        "\nwarning: teachers' recipe: training ends with epoch 3, before the learning rate drops (after 4);" in told.out
    )


def test_a_run_warns_and_its_table_is_found_with_the_same_recipe(tmp_path):
    grid, results = tiny_grid(tmp_path), tmp_path / "results"
    short = ["--recipe", "crd60", "--set", "recipe.epochs=1", "--set", "recipe.max_steps=1"]
    words = ["--grid", grid, "--results", results, "--methods", "student", "--seeds", "0", *short]
    trained = kdbench("run", *words, "--workers", 1)
    assert trained.code == 0, trained.err
    assert "warning: recipe: training ends with epoch 1, " in trained.out
    (cell,) = json.loads(kdbench("table", *words, "--json").out)
    assert cell["status"] == "complete"
    longer = [word.replace("crd60", "crd240") for word in map(str, words)]
    (other,) = json.loads(kdbench("table", *longer, "--json").out)
    assert other["status"] == "missing"


@pytest.mark.parametrize("command", ["table", "stats", "report", "figures", "baseline save"])
def test_every_command_on_a_grid_takes_a_recipe(command):
    assert "--recipe" in kdbench(*command.split(), "--help").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--grid", "quik"], "unknown grid 'quik'; did you mean 'quick'? `kdbench list grids` lists them."),
        (["--grid", "quick", "--methods", "dskdd"], "unknown method 'dskdd'; did you mean 'dskd'?"),
        (["--grid", "quick", "--pairs", "resnet20:resnet9"], "unknown architecture 'resnet9'; did you mean 'resnet"),
        (
            ["--grid", "quick", "--pairs", "resnet20"],
            "command line: pairs.0: a pair is written teacher:student, not 'resnet20'.",
        ),
        (["--grid", "quick", "--dataset", "digit"], "unknown dataset 'digit'; did you mean 'digits'?"),
        (["--grid", "quick", "--set", "recipe.epoch=2"], "recipe has no key 'epoch'; did you mean 'epochs'?"),
        (
            ["--grid", "quick", "--recipe", "crd6"],
            "unknown recipe 'crd6'; did you mean 'crd60'? `kdbench list recipes`",
        ),
        (["--grid", "quick", "--set", "recipe.epochs=0"], "recipe: epochs: input should be greater than or equal to 1"),
        (["--grid", "quick", "--set", "recipe.epochs=many"], "recipe: epochs: input should be a whole number"),
        (["--grid", "quick", "--set", "recipe.lr=.inf"], "recipe: lr: input should be a finite number"),
        (["--grid", "quick", "--set", "epochs=2"], "--set takes recipe.KEY=VALUE, METHOD.PARAMETER=VALUE"),
        (["--grid", "quick", "--set", "dskd.betta=2"], "method 'dskd' has no key 'betta'; did you mean 'beta'?"),
        (["--grid", "quick", "--set", "dskd.projector=x"], "method 'dskd': projector: input should be 'align'"),
        (["--grid", "quick", "--vary", "kd.tau"], "--vary takes METHOD.PARAMETER=VALUE,VALUE, not 'kd.tau'"),
        (["--grid", "quick", "--vary", "recipe.lr=1,2"], "a method's parameter, not 'recipe.lr=1,2'"),
        (["--grid", "quick", "--vary", "kd.tau=1", "--vary", "kd.tau=2"], "--vary names kd.tau twice; give all its"),
        (["--grid", "cifar100", "--seeds", ",".join(map(str, range(5000)))], "runs, and at most 100,000 are planned"),
        (["--grid", "quick", "--vary", "kd.tau="], "--vary kd.tau takes distinct values, at least one, not ''"),
        (["--grid", "quick", "--vary", "kd.tau=1,1.0"], "takes distinct values, at least one, not '1,1.0'"),
        (["--grid", "quick", "--vary", "kd.tau=[1"], "--vary kd.tau is not valid YAML"),
        (["--grid", "quick", "--vary", "kd.taus=1,2"], "method 'kd' has no key 'taus'; did you mean 'tau'?"),
        (["--grid", "quick", "--vary", "kd.seed=1,2"], "method 'kd' has no key 'seed'"),
        (["--grid", "quick", "--vary", "sp.beta=1"], "unknown method in this selection 'sp'"),
        (
            ["--grid", "quick", "--vary", "kd.tau=" + ",".join(map(str, range(1001)))],
            "--vary makes 1,001 rows of kd, and at most 1,000 are planned",
        ),
        (["--grid", "quick", "--vary", "kd.tau=" + "1" * 70], "it may have up to 64 letters"),
        (["--grid", "quick", "--set", "kd.tau=0"], "method 'kd': tau: input should be greater than 0"),
        (["--grid", "quick", "--set", "sp.beta=1"], "unknown method in this selection 'sp'"),
        (["--grid", "quick", "--seeds", "a"], "--seeds: write whole numbers"),
        (["--grid", "quick", "--seeds", "1,1"], "--seeds: seed 1 is named twice"),
        (["--grid", "quick", "--tables", "tabel"], "grid 'quick' has no table 'tabel'"),
        (["--grid", "quick", "--device", "gpu"], "unknown device 'gpu'"),
        (["--grid", "quick", "--device", "cuda:99"], "device 'cuda:99' is not there"),
        (["--grid", "quick", "--precision", "fp64"], "recipe: precision: input should be 'fp32'"),
        (["--grid", "quick", "--teacher", "resnet20"], "--teacher takes ARCH=FILE"),
        (["--grid", "quick", "--teacher", "resnet20=none.safetensors"], "does not exist"),
        (["--grid", "missing.yaml"], "missing.yaml cannot be read"),
        (["--grid", "quick", "--plugin", "nothing.py"], "nothing.py"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, words, sentence):
    result = kdbench("run", *words, "--results", tmp_path / "results")
    assert result.code == 2
    assert result.err.startswith("kdbench: ") and result.err.count("\n") == 1
    assert sentence in result.err
    assert not (tmp_path / "results").exists()


def test_a_method_from_a_file_joins_the_grid(tmp_path):
    plugin = tmp_path / "halved.py"
    plugin.write_text(
        "import kdbench\n"
        "from torch.nn.functional import cross_entropy\n"
        "class Halved(kdbench.Method):\n"
        "    name = 'halved'\n"
        "    formula = {'ce': 'CE(z_S, y)'}\n"
        "    @classmethod\n"
        "    def weights(cls, params):\n"
        "        return {'ce': 0.5}\n"
        "    def terms(self, student, teacher, batch):\n"
        "        return {'ce': cross_entropy(student.logits, batch.labels)}\n"
        "@kdbench.hookimpl\n"
        "def kdbench_methods():\n"
        "    return [Halved]\n"
    )
    words = ["--grid", tiny_grid(tmp_path), "--plugin", plugin, "--methods", "halved", "--seeds", "0", "--workers", 1]
    result = kdbench("run", *words, "--results", tmp_path / "results")
    assert result.code == 0, result.err
    assert "halved" in result.out


def test_a_run_that_fails_is_shown_and_tried_again(tmp_path, monkeypatch):
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "import kdbench\n"
        "class Broken(kdbench.Method):\n"
        "    name = 'broken'\n"
        "    formula = {'ce': 'CE'}\n"
        "    @classmethod\n"
        "    def weights(cls, params):\n"
        "        return {'ce': 1.0}\n"
        "    def terms(self, student, teacher, batch):\n"
        "        raise RuntimeError('this method is broken')\n"
        "@kdbench.hookimpl\n"
        "def kdbench_methods():\n"
        "    return [Broken]\n"
    )
    words = ["run", "--grid", tiny_grid(tmp_path), "--plugin", plugin, "--methods", "student,broken", "--seeds", "0"]
    result = kdbench(*words, "--results", tmp_path / "results", "--workers", 1)
    assert result.code == 1
    assert "broken resnet8 seed 0: failed in epoch 1: RuntimeError: this method is broken" in result.out
    assert "† a seed failed" in result.out and "1 run failed, 0 not run" in result.out
    (record,) = [
        json.loads(path.read_text())
        for path in (tmp_path / "results" / "records").glob("*.json")
        if json.loads(path.read_text())["status"] == "failed"
    ]
    assert "this method is broken" in record["failure"]["traceback"]
    again = kdbench(*words, "--results", tmp_path / "results", "--workers", 1)
    assert "1 finished, 1 to train" in again.out
    # Nor is the grid whole where another process trained what failed.
    monkeypatch.setattr("kdbench.execution.schedule.execute", lambda *given: Summary(others=execute(*given).records))
    beside = kdbench(*words, "--results", tmp_path / "results", "--workers", 1)
    assert beside.code == 1 and "1 run trained by other processes" in beside.out
    assert "1 run failed, 0 not run" in beside.out


def test_a_declined_pair_is_not_applicable_with_its_sentence(tmp_path):
    text = TINY_GRID.replace("[{method: student", "[{method: dskd, params: {blocks: [7]}}, {method: student")
    result = kdbench("table", "--grid", tiny_grid(tmp_path, text), "--results", tmp_path)
    assert result.code == 0
    assert "n/a" in result.out and "are none of the shallow stages 1 to 2" in result.out


def test_variants_are_told_apart_while_they_train(tmp_path):
    rows = "[{method: kd}, {method: kd, variant: hot, params: {tau: 8}}]"
    text = re.sub(r"rows: \[.*\]", f"rows: {rows}", TINY_GRID)
    result = kdbench("run", "--grid", tiny_grid(tmp_path, text), "--results", tmp_path / "results")
    lines = [line.partition(":")[0] for line in result.out.splitlines()]
    plain = "kd resnet14→resnet8 seed 0"
    assert {plain, f"{plain} (tau 8.0)"} <= set(lines)
