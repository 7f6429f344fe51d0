"""`kdbench compare`."""

import json

import pytest
from scipy import stats

from kdbench.run import Teacher
from kdbench.store.store import Store
from tests.cli.support import kdbench
from tests.gate.support import GRID, accuracies, baseline_of, expansion, fill, record, written
from tests.support import present_basis

RETAUGHT = GRID + "teacher_recipe: {epochs: 3, batch_size: 16, max_steps: 2}\n"


@pytest.fixture
def folder(tmp_path):
    cells = expansion(tmp_path)
    fill(Store(tmp_path / "a"), cells, accuracies(student=90.0, kd=92.0))
    fill(Store(tmp_path / "b"), cells, {"kd": {0: 93.0, 1: 93.4, 2: 93.1}, "dkd": {0: 91.0}})
    return tmp_path


def test_cells_of_both_sides_with_their_interval(folder):
    page = json.loads(kdbench("compare", folder / "a", folder / "b", "--json").out)
    (cell,) = page["cells"]
    expected = stats.ttest_rel([93.0, 93.4, 93.1], [91.9, 92.0, 92.1])
    interval = expected.confidence_interval(0.95)
    assert cell["method"] == "kd" and cell["kind"] == "paired" and cell["n"] == 3
    assert cell["interval"] == pytest.approx([interval.low, interval.high]) and cell["separated"]
    assert page["only_a"] == ["student resnet8 on digits"] and page["only_b"] == ["dkd resnet14→resnet8 on digits"]


def test_text_names_everything(folder):
    page = kdbench("compare", folder / "a", folder / "b").out
    for part in ("kd resnet14→resnet8 on digits", "+1.17 [", "yes", "only in A: student", "only in B: dkd"):
        assert part in page


def test_a_baseline_compares_with_its_own_folder(folder):
    cells = expansion(folder)
    fill(Store(folder / "a"), cells, accuracies(dkd=91.0))
    written(baseline_of(Store(folder / "a"), cells), folder / "a.json")
    page = json.loads(kdbench("compare", folder / "a.json", folder / "a", "--json").out)
    assert len(page["cells"]) == 3 and not page["only_a"] and not page["only_b"]
    assert {cell["difference"] for cell in page["cells"]} == {0.0}
    assert not any(cell["separated"] or cell["recipe_change"] for cell in page["cells"])


def test_other_versions_and_devices_are_told(folder):
    cells = expansion(folder)
    store = Store(folder / "c")
    for cell in cells.cells:
        for run in cell.runs:
            store.write(record(run, 90.0, environment={"device": "a GPU", "packages": {"kdbench": "0", "torch": "9"}}))
    page = kdbench("compare", folder / "a", folder / "c")
    assert "A → B: device made up → a GPU\n" in page.out
    told = json.loads(kdbench("compare", folder / "a", folder / "c", "--json").out)["surroundings"]
    assert told == "device made up → a GPU"
    assert "A → B" not in kdbench("compare", folder / "a", folder / "b").out


def test_another_recipe_is_told(folder):
    other = expansion(folder, GRID.replace("epochs: 1", "epochs: 2"))
    fill(Store(folder / "c"), other, accuracies(kd=92.0))
    assert "recipe: epochs 1 → 2" in kdbench("compare", folder / "a", folder / "c").out


def test_what_recipes_gained_is_told_though_one_side_has_it_by_default(folder):
    other = expansion(folder, GRID.replace("epochs: 1", "epochs: 1, optimizer: adamw"))
    fill(Store(folder / "c"), other, accuracies(kd=92.0))
    assert "recipe: optimizer sgd → adamw" in kdbench("compare", folder / "a", folder / "c").out


def test_another_teacher_is_told(folder):
    fill(Store(folder / "c"), expansion(folder, RETAUGHT), accuracies(student=90.0, kd=94.0))
    page = kdbench("compare", folder / "a", folder / "c").out
    assert "kd resnet14→resnet8 on digits: teacher's augmentation" in page and "teacher's epochs 1 → 3" in page
    assert page.count("teacher's epochs") == 1 and "recipe:" not in page


def test_an_imported_teacher_is_told(folder):
    cells = expansion(folder)
    store = Store(folder / "c")
    imported = Teacher(architecture="resnet14", imported="e" * 64)
    for run in cells.cells[1].runs:
        store.write(record(run.model_copy(update={"teacher": imported}), 92.0))
    (cell,) = json.loads(kdbench("compare", folder / "a", folder / "c", "--json").out)["cells"]
    assert cell["teacher_change"] == "teacher trained → imported eeeeeeeeeeee"


def test_another_pre_stage_is_told(folder):
    text = GRID.replace("{method: dkd, label: DKD}", "{method: mtkd_ssr, label: MTKD-SSR}")
    (run, *_) = expansion(folder, text).cells[2].runs
    longer = run.pre_stage.recipe.model_copy(update={"epochs": 2})
    other = run.model_copy(update={"pre_stage": run.pre_stage.model_copy(update={"recipe": longer})})
    for name, made in (("c", run), ("d", other)):
        Store(folder / name).write(record(made, 92.0))
    assert ": pre-stage's epochs 1 → 2\n" in kdbench("compare", folder / "c", folder / "d").out


def test_the_teacher_of_a_baseline_is_told(folder):
    retaught = expansion(folder, RETAUGHT)
    fill(Store(folder / "c"), retaught, accuracies(student=90.0, kd=94.0, dkd=94.0))
    written(baseline_of(Store(folder / "c"), retaught), folder / "c.json")
    assert "teacher's epochs 1 → 3" in kdbench("compare", folder / "a", folder / "c.json").out


def test_a_rate_that_a_baseline_does_not_hold_is_not_judged(folder):
    cells = expansion(folder, GRID.replace("epochs: 1", "epochs: 1, lr_by_family: {resnet: 0.01}"))
    fill(Store(folder / "c"), cells, accuracies(student=90.0, kd=94.0, dkd=94.0))
    written(baseline_of(Store(folder / "c"), cells), folder / "c.json")
    page = json.loads(kdbench("compare", folder / "c", folder / "c.json", "--json").out)
    assert [cell["teacher_change"] for cell in page["cells"]] == [None] * 3


def test_two_teachers_of_one_cell_are_2(folder):
    fill(Store(folder / "a"), expansion(folder, RETAUGHT), accuracies(kd=94.0))
    result = kdbench("compare", folder / "b", folder / "a")
    assert result.code == 2 and f"{folder / 'a'} holds runs of kd resnet14→resnet8 on digits" in result.err
    assert "teacher's epochs" in result.err and "a results folder of its own" in result.err


def test_other_data_are_2(folder):
    cells = expansion(folder)
    for run in cells.cells[1].runs:
        Store(folder / "c").write(record(run, 92.0, basis=present_basis(run, "e" * 64)))
    result = kdbench("compare", folder / "a", folder / "c")
    assert result.code == 2
    assert "B's kd resnet14→resnet8 on digits was made on other data than A's (eeeeeeeeeeee, not 58a" in result.err


def test_other_data_in_one_folder_are_2(folder):
    run = expansion(folder).cells[2].runs[0]
    Store(folder / "a").write(record(run, 92.0, basis=present_basis(run, "e" * 64)))
    result = kdbench("compare", folder / "b", folder / "a")
    assert result.code == 2 and "was made on other data than other" in result.err.replace("\n", " ")


def test_a_damaged_record_is_2_and_no_seed_less(folder):
    path = next((folder / "b" / "records").iterdir())
    path.write_bytes(path.read_bytes()[:-40])
    result = kdbench("compare", folder / "a", folder / "b")
    assert result.code == 2 and not result.out
    assert f"{path} is damaged" in result.err and "kdbench results repair" in result.err


def test_failed_runs_and_other_seeds_are_told(folder):
    other = expansion(folder, GRID.replace("[0, 1, 2]", "[3, 4, 5]"))
    store = Store(folder / "c")
    fill(store, other, {"kd": {3: 92.0, 4: 92.3}})
    store.write(record(other.cells[1].runs[2], 0.0, "diverged"))
    page = kdbench("compare", folder / "a", folder / "c").out
    assert "(unpaired)" in page and "B: seed 5 diverged" in page


def test_variants_are_told_apart_by_their_parameters(folder):
    text = GRID.replace("{method: dkd, label: DKD}", "{method: kd, variant: hot, params: {tau: 9}}")
    cells = expansion(folder, text)
    fill(Store(folder / "c"), cells, accuracies(kd=92.0) | {"kd/hot": {0: 91.0}})
    page = kdbench("compare", folder / "c", folder / "c").out
    assert "(tau 4.0)" in page and "(tau 9.0)" in page


@pytest.mark.parametrize("side", ["nothing", "empty"])
def test_a_side_that_is_none_is_2(folder, side):
    (folder / "empty").mkdir()
    assert kdbench("compare", folder / "a", folder / side).code == 2


def test_nothing_in_common_is_2(folder):
    fill(Store(folder / "c"), expansion(folder), {"student": {0: 1.0}})
    fill(Store(folder / "d"), expansion(folder), {"kd": {0: 1.0}})
    result = kdbench("compare", folder / "c", folder / "d")
    assert result.code == 2 and "no cell in common" in result.err
