"""`kdbench list`, `show`, `table` and `doctor`, the version and the help."""

import csv
import importlib.metadata
import io
import json
import re
from pathlib import Path

import pytest
import typer

from kdbench.cli.app import app
from kdbench.cli.listing import widths
from kdbench.method import Method
from kdbench.plugins import load_plugins
from kdbench.store.weights import save_weights
from kdbench.supervision import SUPERVISION
from tests.cli.support import TINY_GRID, kdbench, tiny_grid
from tests.data.support import write_jpegs


@pytest.mark.parametrize("kind", ["methods", "architectures", "datasets", "grids", "recipes", "plugins"])
def test_lists_are_readable_and_machine_readable(kind):
    rows = json.loads(kdbench("list", kind, "--json").out)
    text = kdbench("list", kind).out
    assert rows and all(row["name"] in text for row in rows)


def commands(group, words=()):
    """The words of every command and group of commands."""
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


def test_every_command_says_its_help_to_the_short_option_too():
    found = list(commands(typer.main.get_command(app)))
    assert {(), ("run",), ("list", "recipes")} <= set(found)
    for words in found:
        short, long = kdbench(*words, "-h"), kdbench(*words, "--help")
        assert short.code == long.code == 0 and "Usage: " in short.out
        assert short == long


def test_version_is_the_installed_one():
    result = kdbench("--version")
    assert (result.code, result.out) == (0, f"kdbench {importlib.metadata.version('kdbench')}\n")


def test_recipes_say_how_long_they_are_and_when_the_rate_drops():
    rows = {row["name"]: row for row in json.loads(kdbench("list", "recipes", "--json").out)}
    assert rows["crd60"] == {
        "name": "crd60",
        "epochs": 60,
        "batch_size": 64,
        "lr": 0.05,
        "milestones": [37, 45, 52],
    }
    assert "[37, 45, 52]" in kdbench("list", "recipes").out


def test_plugins_say_what_came_from_where():
    rows = {row["name"]: row for row in json.loads(kdbench("list", "plugins", "--json").out)}
    assert {"harness", "methods", "architectures"} <= rows.keys()
    assert "dskd" in rows["methods"]["brought"] and rows["methods"]["distribution"] == "kdbench"
    assert not rows["methods"]["error"]


def test_a_method_that_cannot_tell_its_needs_hides_no_other(monkeypatch):
    monkeypatch.setattr(load_plugins().method("kd"), "needs_for", classmethod(lambda cls, params: exit(0)))
    listed = kdbench("list", "methods", "--json")
    teachers = {row["name"]: row["teacher"] for row in json.loads(listed.out)}
    assert teachers["kd"] == "?" and teachers["dkd"] == "yes" and teachers["student"] == "no"
    assert "Learns from ?\n\nname" in kdbench("list", "methods").out
    assert listed.err.startswith("kdbench: warning: method 'kd': `needs_for` raises RuntimeError: the method calls sys")


@pytest.mark.parametrize("raised", [ZeroDivisionError("none"), SystemExit(0)])
def test_a_method_that_cannot_tell_its_memory_is_named_before_anything_is_trained(monkeypatch, tmp_path, raised):
    def memory_bytes(cls, params, size):
        raise raised

    monkeypatch.setattr(load_plugins().method("kd"), "memory_bytes", classmethod(memory_bytes))
    run = kdbench("run", "--grid", "quick", "--methods", "kd", "--results", tmp_path / "none")
    assert run.code == 2 and "kdbench: method 'kd': `memory_bytes` raises " in run.err
    assert not (tmp_path / "none").exists()


def test_show_fills_in_the_formula_and_names_the_alternatives():
    result = kdbench("show", "dskd", "--set", "dskd.beta=12")
    assert "12 × MSE(F_T, r_L(F_L))" in result.out
    assert "beta = 12.0 (default 30.0)" in result.out
    assert "paper: absent from Equations 1, 2 and 7" in result.out
    assert "alternatives: conv1x1" in result.out


@pytest.mark.parametrize("setting", ["kd.tau=2", "recipe.epochs=2"])
def test_show_refuses_what_it_would_leave_out(setting):
    result = kdbench("show", "dskd", "--set", setting)
    assert result.code == 2 and "`kdbench show dskd` takes only --set dskd.PARAMETER=VALUE" in result.err
    assert "beta = 12.0" in kdbench("show", "dskd", "--set", "DSKD.beta=12").out


def test_show_of_every_method_works():
    for row in json.loads(kdbench("list", "methods", "--json").out):
        # A grid may have the name of a method.
        result = kdbench("show", row["name"], "--kind", "method", "--json")
        assert result.code == 0
        shown = json.loads(result.out)
        assert shown["formula"].startswith("total = ") and "{" not in shown["formula"]
        assert shown["citation"] and len(shown["source_sha256"]) == 64


def shown_formula(folder, attributes):
    """The formula that `show` prints of a method with such class attributes."""
    path = folder / "mine.py"
    path.write_text(
        "import kdbench\n"
        "class Mine(kdbench.Method):\n"
        "    name = 'mine'\n"
        f"    {attributes}\n"
        "    class Params(kdbench.MethodParams):\n"
        "        tau: float = kdbench.param(4.0, 'temperature', gt=0)\n"
        "    @classmethod\n"
        "    def weights(cls, params):\n"
        "        return {'ce': 1.0, 'kd': 0.5}\n"
        "@kdbench.hookimpl\ndef kdbench_methods():\n    return [Mine]\n"
    )
    result = kdbench("show", "mine", "--plugin", path, "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)["formula"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("KD_{S}, τ = {tau}", "KD_{S}, τ = 4.0"),
        ("x_{i_{j}} in {0, …, {tau:g}}, {}", "x_{i_{j}} in {0, …, 4}, {}"),
        ("{{S}} of {tau.none} and {tau:?} and {tau[0]}", "{S} of {tau.none} and {tau:?} and {tau[0]}"),
        ("a lone { or }", "a lone { or }"),
    ],
)
def test_show_leaves_braces_that_are_no_parameter(tmp_path, text, filled):
    assert shown_formula(tmp_path, f"formula = {{'ce': 'CE', 'kd': {text!r}}}") == (
        f"total = 1 × CE   [ce]\n      + 0.5 × {filled}   [kd]"
    )


@pytest.mark.parametrize("attributes", ["pass", "formula = {}"])
def test_show_says_that_a_term_has_no_formula(tmp_path, attributes):
    assert shown_formula(tmp_path, attributes) == (
        "total = 1 × (no text in `formula`)   [ce]\n      + 0.5 × (no text in `formula`)   [kd]"
    )


def test_show_of_a_method_without_weights_says_so(monkeypatch):
    monkeypatch.setattr(load_plugins().method("kd"), "weights", Method.weights)
    result = kdbench("show", "kd")
    assert result.code == 2
    assert result.err == "kdbench: method 'kd': `weights` raises NotImplementedError; mend it or leave it out.\n"


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        (
            "needs_for(cls, params): return 1 / 0",
            "`needs_for` raises ZeroDivisionError: division by zero, at mine.py:5",
        ),
        (
            "needs_for(cls, params): exit(0)",
            "`needs_for` raises RuntimeError: the method calls sys.exit(0), at mine.py",
        ),
        ("needs_for(cls, params): return None", "`needs_for` raises AttributeError: "),
        ("pre_stage(cls, params): return [][0]", "`pre_stage` raises IndexError: list index out of range, at mine.py"),
        ("weights(cls, params): return None", "`weights` raises AttributeError: "),
        ("more(cls): ...\n    formula = ['CE']", "`formula` is no mapping of terms to texts; write it as {'ce': "),
        ("more(cls): ...\n    formula = {'ce': 1}", "`formula` is no mapping of terms to texts"),
    ],
)
def test_show_says_in_a_sentence_which_declaration_is_wrong(tmp_path, declared, sentence):
    path = tmp_path / "mine.py"
    path.write_text(
        f"import kdbench\nclass Mine(kdbench.Method):\n    name = 'mine'\n    @classmethod\n    def {declared}\n"
        + "    @classmethod\n    def weights(cls, params): return {'ce': 1.0}\n" * ("weights" not in declared)
        + "@kdbench.hookimpl\ndef kdbench_methods(): return [Mine]\n"
    )
    result = kdbench("show", "mine", "--plugin", path)
    assert result.code == 2 and not result.out and result.err.count("\n") == 1
    assert result.err.startswith(f"kdbench: method 'mine': {sentence}")


def test_show_of_an_unknown_method_names_the_nearest():
    result = kdbench("show", "fitnets")
    assert result.code == 2 and "did you mean 'fitnet'?" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["quick"],
            ["grid: quick\n", "epochs in batches of", "table\n  name: quick", "it: kdbench run --grid quick"],
        ),
        (
            ["WRN_16_2"],
            ["network: wrn_16_2", "parameters: 703,284", "stages: 32×32×32, 64×16×16, 128×8×8"],
        ),
        (["crd60"], ["training: 60 epochs in batches of 64; the learning rate × 0.1 after epochs 37, 45 and 52;"]),
        (["digits"], ["classes: 10", "training images: 1,000", "pixels: 8"]),
        (["holdout:digits"], ["dataset: holdout:digits", "classes: 10"]),
        (["folder"], ["how: data set 'folder' needs a folder; write folder:DIR"]),
        (["cifar100", "--kind", "dataset"], ["classes: 100", "test images: 10,000"]),
        (["cifar100", "--kind", "grid"], ["beside: the numbers of dskd_table1", "wrn_40_2:wrn_16_2"]),
    ],
)
def test_show_knows_all_that_has_a_name(words, said):
    result = kdbench("show", *words)
    assert result.code == 0
    for part in said:
        assert part in result.out
    assert isinstance(json.loads(kdbench("show", *words, "--json").out), dict)


def test_show_asks_which_where_a_name_is_several_things_and_sets_nothing_but_methods(tmp_path):
    method = kdbench("show", "crd")
    assert "Contrastive" in method.out and "is a grid as well, which --kind grid shows" in method.err
    several = kdbench("show", "CIFAR100")
    assert several.code == 2 and "is a data set and a grid; choose with --kind dataset or --kind grid" in several.err
    set_ = kdbench("show", "crd60", "--set", "recipe.epochs=3")
    assert set_.code == 2 and "--set is for methods, and 'crd60' is shown as a recipe" in set_.err
    assert "title: A tiny table" in kdbench("show", tiny_grid(tmp_path)).out


def test_show_takes_a_name_in_either_case_and_an_unknown_one_is_told_where_names_are_listed():
    assert kdbench("show", "CRD240").out == kdbench("show", "crd240", "--kind", "recipe").out != ""
    assert kdbench("show", "Cifar100", "--kind", "grid").code == 0
    for name in ("crd24x", ""):
        unknown = kdbench("show", name)
        assert unknown.code == 2 and "`kdbench list methods`, " in unknown.err and "list recipes` list" in unknown.err
        assert unknown.err.count("cifar100,") < 2


def test_show_as_json_has_numbers_where_the_text_has_words(tmp_path):
    variant = TINY_GRID.replace("{method: kd, label: KD}", "{method: kd, variant: hot, params: {tau: 8}, label: KD}")
    path = tiny_grid(tmp_path, variant)
    text, grid = kdbench("show", path).out, json.loads(kdbench("show", path, "--json").out)
    assert f"file: {path}\n" in text and "rows: student, kd/hot (tau=8)\n" in text
    assert grid["file"] == str(path) and grid["recipe"]["epochs"] == 2 and grid["seeds"] == [0, 1]
    assert grid["tables"][0]["rows"][1] == {"key": "kd/hot", "label": "KD", "params": {"tau": 8}}
    assert json.loads(kdbench("show", "crd60", "--json").out)["training"]["milestones"] == [37, 45, 52]
    network = json.loads(kdbench("show", "wrn_16_2", "--json").out)
    assert network["stages"] == [[32, 32, 32], [64, 16, 16], [128, 8, 8]] and network["final_map"] == [128, 8, 8]


def test_help_on_a_narrow_terminal(monkeypatch):
    """Its texts have the width for themselves, and no line is wider."""
    monkeypatch.setattr("kdbench.cli.terminal.screen_width", lambda: 40)
    lines = kdbench("run", "--help").out.splitlines()
    option = next(place for place, line in enumerate(lines) if line.strip().startswith("--keep-final"))
    assert lines[option + 1].strip().startswith("Keep finished runs'") and max(map(len, lines)) <= 40
    monkeypatch.undo()
    assert re.search(r"--keep-final {2,}Keep finished", kdbench("run", "--help").out)


@pytest.mark.parametrize("screen", [None, 40, 80, 200])
def test_columns_of_prose_share_what_the_others_leave_of_the_screen(screen):
    rows = [{"name": "n" * 10, "from": "f" * 6, "where": "w " * 200}, {"name": "a", "from": "b", "where": "c"}]
    expected = {None: 60, 40: 20, 80: 60, 200: 60}[screen]
    assert widths(rows, screen) == [None, None, expected]
    assert widths([{"name": "n" * 30, "brought": "b", "error": "e"}], 80) == [None, 23, 23]
    assert widths([{"name": "n" * 90, "where": "w"}], 80) == [None, 16] and widths([], 80) == []


@pytest.mark.parametrize("command", ["run", "table", "baseline save file.json"])
def test_without_a_grid_the_grids_are_listed(command):
    listed = kdbench(*command.split())
    assert listed.code == 2 and listed.out == "" and listed.err.startswith("kdbench: name a grid with --grid.\n")
    for row in json.loads(kdbench("list", "grids", "--json").out):
        assert row["name"] in listed.err and row["runs"] > 1 and row["epochs"] >= 1
    assert f"to start one: kdbench {command} --grid quick" in listed.err and "NAME --dry-run" in listed.err


def test_json_is_one_of_the_formats_and_asked_for_in_one_way():
    both = kdbench("table", "--grid", "quick", "--json", "--format", "csv")
    assert both.code == 2 and "--json and --format csv exclude each other" in both.err
    assert kdbench("stats", "--grid", "quick", "--format", "json").code == 2


def test_doctor_names_versions_data_and_plugins(tmp_path):
    result = kdbench("doctor", "--results", tmp_path / "none")
    assert result.code == 0
    for word in ("torch", "cpu:", "data set digits", "plugin methods", "does not exist yet"):
        assert word in result.out


def test_doctor_reports_in_full_where_the_data_cannot_be_read_and_downloads_none(tmp_path):
    wrong = kdbench("doctor", "--results", tmp_path / "none", "--dataset", f"folder:{tmp_path / 'none'}")
    assert wrong.code == 2 and "problem: " in wrong.out and "plugin methods" in wrong.out and wrong.err == ""
    unknown = kdbench("doctor", "--results", tmp_path / "none", "--dataset", "digit", "--json")
    found = json.loads(unknown.out)
    assert unknown.code == 2 and found["read"] is None and "did you mean 'digits'" in found["problems"][0]
    words = ["doctor", "--results", tmp_path / "none", "--data-dir", tmp_path, "--dataset"]
    missing = kdbench(*words, "holdout:cifar100")
    assert missing.code == 0 and "data set holdout:cifar100 is not read: missing; " in missing.out
    assert kdbench(*words, "digits").code == 0 and not [*tmp_path.iterdir()]


def test_doctor_as_json_counts_records_and_names_what_is_damaged(tmp_path, results):
    _, folder = results
    found = json.loads(kdbench("doctor", "--results", folder, "--json").out)
    assert found["packages"]["torch"] and "digits" in found["datasets"] and found["problems"] == []
    assert {plugin["error"] for plugin in found["plugins"]} == {None}
    assert found["results"]["records"] == {"done": 5, "failed": 0, "diverged": 0} and not found["results"]["damaged"]
    none = json.loads(kdbench("doctor", "--results", tmp_path / "none", "--json").out)
    assert none["results"]["records"] is None
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "0123456789abcdef.json").write_text("{")
    words = ["doctor", "--results", tmp_path]
    (damage,) = json.loads(kdbench(*words, "--json").out)["results"]["damaged"]
    assert "0123456789abcdef" in damage and f"problem: {damage}" in kdbench(*words).out


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    grid = tiny_grid(folder)
    assert kdbench("run", "--grid", grid, "--results", folder / "results", "--workers", 1).code == 0
    return grid, folder / "results"


def test_table_as_json_holds_every_cell(results):
    grid, folder = results
    cells = json.loads(kdbench("table", "--grid", grid, "--results", folder, "--json").out)
    assert [cell["method"] for cell in cells] == ["student", "kd"]
    for cell in cells:
        assert cell["grid"] == "tiny" and cell["table"] == "first" and cell["dataset"] == "digits"
        assert cell["teacher"] == "resnet14" and cell["student"] == "resnet8" and cell["variant"] is None
        assert cell["n"] == 2 and cell["seeds"] == [0, 1] and cell["status"] == "complete" and cell["paper"] is None
        values = cell["top1_last"]["values"]
        mean = sum(values) / 2
        assert cell["top1_last"]["mean"] == pytest.approx(mean)
        assert cell["top1_last"]["std"] == pytest.approx(sum((v - mean) ** 2 for v in values) ** 0.5)
        assert all(best >= last for best, last in zip(cell["top1_best"]["values"], values, strict=True))


def test_table_in_every_other_format(results):
    grid, folder = results

    def shown(format):
        return kdbench("table", "--grid", grid, "--results", folder, "--format", format).out

    assert "| Student" in shown("text")
    assert shown("markdown").splitlines()[2].startswith("| Teacher")
    rows = list(csv.DictReader(io.StringIO(shown("csv"))))
    assert [row["method"] for row in rows] == ["student", "kd"] and rows[0]["n"] == "2"
    assert r"\toprule" in shown("latex") and r"resnet14" in shown("latex")


def test_table_marks_partial_and_missing_cells(results):
    grid, folder = results
    partial = json.loads(kdbench("table", "--grid", grid, "--results", folder, "--seeds", "0,1,2", "--json").out)
    assert [cell["status"] for cell in partial] == ["partial", "partial"]
    text = kdbench("table", "--grid", grid, "--results", folder, "--methods", "kd,sp", "--seeds", "0,5").out
    assert "* fewer seeds than the grid asks for" in text and "– no result: not run" in text


def test_best_epoch_is_labelled_as_selected_on_the_test_set(results):
    grid, folder = results
    assert "selected on the test set" in kdbench("table", "--grid", grid, "--results", folder, "--best").out
    assert "last epoch" in kdbench("table", "--grid", grid, "--results", folder).out


@pytest.mark.parametrize(
    "words",
    [
        ("table", "--grid", "quick"),
        ("stats", "--grid", "quick"),
        ("report", "--grid", "quick"),
        ("figures", "--grid", "quick"),
        ("baseline", "save", "--grid", "quick", "file.json"),
        ("teachers", "list"),
        ("results", "check"),
        ("check", "--no-run", "--baseline", Path(__file__).parents[2] / "results/reference/baselines/quick.json"),
    ],
    ids=lambda words: words[0],
)
def test_a_results_folder_that_is_not_there_was_misspelt(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = kdbench(*words, "--results", "rseults")
    assert done.code == 2 and done.err.startswith("kdbench: results folder rseults does not exist; name one")
    (tmp_path / "rseults").write_text("")
    assert "rseults is a file, not a folder; name a folder" in kdbench(*words, "--results", "rseults").err
    assert [path.name for path in tmp_path.iterdir()] == ["rseults"]


def test_only_tables_are_read_before_there_is_a_results_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kdbench("table", "--grid", "quick").code == 0
    assert "results/runs does not exist" in kdbench("results", "check").err


def test_an_unreadable_results_folder_is_not_taken_for_an_empty_one(tmp_path):
    (tmp_path / "records").write_text("")  # what cannot be listed; permissions do not stop root
    for words in (("table", "--grid", "quick"), ("results", "check"), ("teachers", "list")):
        done = kdbench(*words, "--results", tmp_path)
        assert done.code == 2 and f"{tmp_path / 'records'} cannot be read (Not a directory)" in done.err


def test_a_teacher_that_no_pair_has_is_refused(tmp_path):
    weights = tmp_path / "resnet8.safetensors"
    save_weights(load_plugins().architecture("resnet8").build(10), weights, "resnet8", 10, {})
    done = kdbench("run", "--grid", "quick", "--teacher", f"resnet8={weights}", "--dry-run")
    assert done.code == 2
    assert "--teacher resnet8=… is for no pair of grid 'quick', whose teachers are resnet20" in done.err


def test_output_that_cannot_be_written_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("kept")
    done = kdbench("new-method", "abc", "--directory", tmp_path / "file" / "abc")
    assert done.code == 2 and f"{tmp_path / 'file'} is a file, not a folder" in done.err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_network_that_cannot_be_built_hides_no_other(tmp_path):
    plugin = tmp_path / "network.py"
    plugin.write_text(
        "import kdbench\n\n\n@kdbench.hookimpl\ndef kdbench_architectures():\n"
        "    return [kdbench.Architecture('broken_net', 'x', lambda num_classes: 1 / 0)]\n"
    )
    told = kdbench("list", "architectures", "--plugin", plugin)
    assert told.code == 0 and "resnet8x4" in told.out
    assert "network 'broken_net' cannot be built for 100 classes: ZeroDivisionError" in told.err


def test_a_command_that_is_cut_off_says_so(monkeypatch):
    def cut_off():
        raise KeyboardInterrupt

    monkeypatch.setattr("platform.platform", cut_off)
    done = kdbench("doctor")
    assert done.code == 130 and done.err == "kdbench: stopped at once; what is finished is kept.\n"


def test_methods_are_listed_by_what_they_learn_from():
    rows = {row["name"]: row for row in json.loads(kdbench("list", "methods", "--json").out)}
    told = {
        name: (rows[name]["supervision"], rows[name]["reads"], rows[name]["year"])
        for name in ("dsn", "kd", "crd", "dskd")
    }
    assert told == {
        "dsn": ("labels alone", ["logits", "stages"], 2015),
        "kd": ("the teacher's logits", ["logits"], 2015),
        "crd": ("the teacher's embedding", ["logits", "embedding"], 2020),
        "dskd": ("the teacher's maps", ["logits", "stages", "final_map"], 2022),
    }
    assert rows["student"]["year"] is None
    parts = kdbench("list", "methods").out.split("Learns from ")[1:]
    assert [part.splitlines()[0] for part in parts] == list(SUPERVISION)
    found = [line.split()[0] for part in parts for line in part.splitlines()[4:] if line[:1].strip()]
    assert sorted(found) == sorted(rows)


def test_doctor_names_every_broken_image(tmp_path):
    folder = write_jpegs(tmp_path / "pets")
    words = ["doctor", "--results", tmp_path / "none", "--dataset", f"imagefolder:{folder}"]
    sound = kdbench(*words)
    assert sound.code == 0 and "12 training and 6 test images of 3 classes, read as they are used" in sound.out
    for name in ("ant/0", "bee/1"):
        (folder / "val" / f"{name}.jpg").write_bytes(b"text")
    broken = kdbench(*words)
    assert broken.code == 2
    for name in ("ant/0", "bee/1"):
        assert f"problem: {folder}/val/{name}.jpg: bad image: its 4 bytes are no JPEG" in broken.out
