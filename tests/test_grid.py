"""Grids, their cells, and the ids of runs."""

import pytest

from kdbench.cells import Expansion, distinct
from kdbench.inputs.errors import UserError
from kdbench.paper import load_paper_table
from kdbench.plugins import load_plugins
from kdbench.recipe import load_recipe
from kdbench.selection import Selection, load_grid
from tests.cli.support import TINY_GRID

REGISTRY = load_plugins()


def expand(name="cifar100", **selection):
    grid = load_grid(name, REGISTRY, Selection(**selection))
    return Expansion(grid, REGISTRY, REGISTRY.dataset(grid.dataset).info(None))


@pytest.mark.parametrize("key", ["label_smoothing", "augmentation.mixup", "augmentation.cutmix"])
def test_who_needs_class_indices_declines_class_probabilities(key):
    *within, last = key.split(".")
    recipe = {within[0]: {last: 0.1}} if within else {last: 0.1}
    methods = ("student", "kd", "dskd", "dkd", "crd")
    cells = expand(methods=methods, recipe=recipe).cells
    declined = {cell.row.method: cell.declined for cell in cells if cell.table.name == "table1"}
    assert [name for name, why in declined.items() if why] == ["dkd", "crd"]
    assert "labels as class indices" in declined["dkd"] and not any(cell.runs for cell in cells if cell.declined)


def test_a_kd_term_that_needs_class_indices_declines_for_its_method():
    cells = expand(methods=("at",), recipe={"label_smoothing": 0.1}, params={"at": {"kd_term": "dkd"}}).cells
    assert all("labels as class indices" in cell.declined for cell in cells)
    assert not any(cell.declined for cell in expand(methods=("at",), recipe={"label_smoothing": 0.1}).cells)


def test_what_images_in_memory_are_not_given_is_refused():
    with pytest.raises(UserError, match=r"augmentation\.rand_augment is for images that are read from their files"):
        expand(recipe={"augmentation": {"rand_augment": [2, 9]}})


@pytest.fixture(scope="module")
def full():
    return expand()


def all_runs(expansion):
    return [run for cell in expansion.cells for run in cell.runs]


def test_the_papers_tables_are_195_distinct_runs_and_3_teachers(full):
    runs = distinct(all_runs(full))
    assert len(runs) == 195
    teachers = {run.teacher.key for run in runs if run.teacher}
    assert len(teachers) == 3
    assert len(full.cells) == 7 * 9 + 4 + 4 and not any(cell.declined for cell in full.cells)


def test_a_teacher_free_run_serves_every_pair_of_its_student(full):
    ids = {
        str(cell.pair): [run.id for run in cell.runs]
        for cell in full.cells
        if cell.row.method == "dsn" and cell.pair.student == "vgg8"
    }
    assert len(ids) == 2 and len({tuple(found) for found in ids.values()}) == 1


def test_tables_share_the_run_of_the_full_method(full):
    by_table = {cell.table.name: cell for cell in full.cells if cell.row.key == "dskd"}
    assert set(by_table) == {"table1", "table2", "table3"}
    assert [run.id for run in by_table["table2"].runs] == [
        run.id
        for cell in full.cells
        if cell.table.name == "table1" and cell.row.key == "dskd" and str(cell.pair) == "resnet32x4:resnet8x4"
        for run in cell.runs
    ]


def test_every_cell_has_the_papers_number(full):
    for cell in full.cells:
        paper = load_paper_table(cell.table.paper, REGISTRY)
        assert paper.published("cifar100", cell.pair, cell.row), cell
        assert paper.published("tin100-32", cell.pair, cell.row) is None


def test_a_grid_of_one_s_own_has_the_papers_numbers_only_by_the_papers_recipe(tmp_path):
    path = tmp_path / "mine.yaml"

    def published(own, **selection):
        rows = "[{method: student}, {method: kd}]"
        table = f"{{name: first, title: t, paper: dskd_table1, pairs: ['vgg13:vgg8'], rows: {rows}}}"
        path.write_text(f"dataset: cifar100\nrecipe: {own}\ntables: [{table}]\n")
        return {row.published for row in load_grid(str(path), REGISTRY, Selection(**selection)).tables[0].rows}

    assert published("crd240") == published("{base: crd240, precision: bf16}") == {True}
    assert published("{epochs: 1}") == published("crd60") == published("{base: crd240, lr: 0.1}") == {False}
    assert published("crd60", recipe_name="crd240") == {True}
    assert published("crd240", recipe={"epochs": 2}) == {False}


def test_paper_numbers_agree_with_the_papers_own_sums():
    """The mean of DSKD minus VID over the seven pairs is given as 1.46; DSN to neither as 1.48."""
    table = load_paper_table("dskd_table1", REGISTRY).cells
    gains = [cells["dskd"].mean - cells["vid"].mean for cells in table.values()]
    assert sum(gains) / 7 == pytest.approx(1.457, abs=5e-4)
    ablation = load_paper_table("dskd_table3", REGISTRY).cells["wrn_40_2:wrn_16_2"]
    assert ablation["dskd/neither"].mean - table["wrn_40_2:wrn_16_2"]["dsn"].mean == pytest.approx(1.48)


def test_ids_change_with_whatever_changes_the_result_and_with_nothing_else():
    base = {run.id for run in all_runs(expand("quick", methods=("kd",), seeds=(0,)))}

    def changed(**selection):
        return {run.id for run in all_runs(expand("quick", **{"methods": ("kd",), "seeds": (0,), **selection}))}

    assert changed() == base
    assert changed(methods=("kd", "dskd")) > base
    for other in (
        changed(seeds=(1,)),
        changed(recipe={"epochs": 9}),
        changed(recipe={"precision": "bf16"}),
        changed(params={"kd": {"tau": 3}}),
        changed(pairs=("resnet14:resnet8",)),
    ):
        assert not other & base
    assert changed(params={"kd": {"tau": 4}}) == base


def test_a_named_recipe_replaces_the_grids_as_a_whole_and_single_values_come_on_top():
    short = load_recipe("crd60", {"batch_size": 32})
    grid = load_grid("cifar100", REGISTRY, Selection(recipe_name="crd60", recipe={"batch_size": 32}))
    assert grid.recipe == grid.teacher_recipe == short and grid.recipe.augmentation.crop_padding == 4


def test_a_named_recipe_leaves_a_grids_own_teacher_recipe(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(TINY_GRID + "teacher_recipe: {base: crd240, epochs: 100, milestones: [50]}\n")
    grid = load_grid(str(path), REGISTRY, Selection(recipe_name="crd60", recipe={"gamma": 0.2}))
    assert grid.recipe == load_recipe("crd60", {"gamma": 0.2})
    assert (grid.teacher_recipe.epochs, grid.teacher_recipe.milestones, grid.teacher_recipe.gamma) == (100, (50,), 0.2)


def test_a_pair_and_a_method_that_no_table_has_join_the_first():
    expansion = expand("quick", pairs=("resnet14:resnet8",), methods=("kd", "sp"))
    assert [(cell.row.method, str(cell.pair)) for cell in expansion.cells] == [
        ("kd", "resnet14:resnet8"),
        ("sp", "resnet14:resnet8"),
    ]


def test_selections_reduce_every_table():
    expansion = expand(pairs=("wrn_40_2:wrn_16_2",), methods=("student", "dskd"))
    assert {cell.table.name for cell in expansion.cells} == {"table1", "table3"}
    assert {cell.row.method for cell in expansion.cells} == {"student", "dskd"}


def test_a_papers_numbers_stand_beside_its_own_recipe_and_parameters_alone():
    def rows(**selection):
        return {row.key: row.published for row in expand(tables=("table1",), **selection).grid.tables[0].rows}

    assert all(rows().values()) and all(rows(recipe={"precision": "bf16"}).values())
    assert not any(rows(recipe={"epochs": 3}).values()) and not any(rows(recipe_name="crd60").values())
    assert [key for key, published in rows(params={"kd": {"tau": 1.0}}).items() if not published] == ["kd"]


@pytest.mark.parametrize(
    ("pairs", "rows", "sentence"),
    [
        ("[resnet14:resnet8]", "[{method: kd}, {method: KD, params: {tau: 2}}]", "has the row 'kd' twice; give each a"),
        ("[resnet14:resnet8, ResNet14:resnet8]", "[{method: kd}]", "has the pair 'resnet14:resnet8' twice; name it"),
    ],
)
def test_a_cell_named_twice_is_refused(tmp_path, pairs, rows, sentence):
    path = tmp_path / "twice.yaml"
    path.write_text(
        f"dataset: digits\nrecipe: crd240\ntables: [{{name: first, title: t, pairs: {pairs}, rows: {rows}}}]\n"
    )
    with pytest.raises(UserError, match=f"grid twice.yaml: table 'first' {sentence}"):
        load_grid(str(path), REGISTRY)


@pytest.mark.parametrize("name", REGISTRY.usable("grid"))
def test_every_packaged_grid_expands(name):
    assert expand(name).cells


def test_dskds_switches_are_changed_one_at_a_time():
    """The default and nine readings that differ from it in one open parameter each."""
    cells = {cell.row.key: cell for cell in expand("dskd_switches").cells}
    base = cells["dskd"].runs[0].params
    changes = {
        key: {name: value for name, value in cell.runs[0].params.items() if value != base[name]}
        for key, cell in cells.items()
        if cell.row.variant
    }
    assert changes == {
        "dskd/without-tau2": {"tau_squared": False},
        "dskd/attached-weights": {"detach_weights": False},
        "dskd/batch-weights": {"weights_per": "batch"},
        "dskd/conv1x1": {"projector": "conv1x1"},
        "dskd/identity": {"projector": "identity"},
        "dskd/last-stage": {"feature_tap": "last_stage"},
        "dskd/embedding": {"feature_tap": "embedding"},
        "dskd/beta-10": {"beta": 10},
        "dskd/beta-3": {"beta": 3},
    }
    runs = distinct(run for cell in cells.values() for run in cell.runs)
    assert len(runs) == 3 * len(cells) == 36
    assert {(run.recipe.epochs, run.recipe.milestones) for run in runs} == {(60, (37, 45, 52))}
    assert len({run.teacher.key for run in runs if run.teacher}) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a list", "holds a list; write keys with their values into it, one `key: value` a line."),
        ("", "is empty; write keys with their values into it"),
        ("digits", "holds a single value; write keys"),
        ("dataset: [", "is not valid YAML"),
        ("dataset: digits", "recipe: name a recipe"),
        ("dataset: digits\nrecipe: crd240\ntables: []", "tables"),
        ("dataset: digits\nrecipe: crd240\ntabels: []", "grid bad.yaml has no key 'tabels'; did you mean 'tables'"),
        ("dataset: digits\nrecpie: crd240", "grid bad.yaml has no key 'recpie'; did you mean 'recipe'?"),
        (
            "dataset: digits\nrecipe: crd240\ntables: [{name: t, title: t, rows: [], x: 1}]",
            "grid bad.yaml: tables.0 has no key 'x'; known: layout, name, pairs, paper, rows, title.",
        ),
        (
            "dataset: digits\nrecipe: crd240\ntables: [{name: t, title: t, pairs: [], rows: [{metod: kd}]}]",
            "grid bad.yaml: tables.0.rows.0 has no key 'metod'; did you mean 'method'?",
        ),
        (
            "dataset: digits\nrecipe: crd240\nseeds: 3\ntables: []",
            "seeds: one number may be a seed or how many there are: write [3] for the seed, 0-2 for so many.",
        ),
        (
            "dataset: digits\nrecipe: crd240\ntables:",
            "grid bad.yaml: tables: input should be a list, and none is given.",
        ),
        ("dataset: digits\nrecipe: crd240\ntables: {a: 1}", "a list, whose entries begin with `- `, not {a: 1}."),
        ("dataset: digits\nrecipe: crd240\nmethods: kd\ntables: []", "no key 'methods'; known: dataset, description,"),
        (
            "dataset: digits\nrecipe: crd240\ntables: [{name: t, title: t, pairs: ['a:b'], rows: [kd]}]",
            "tables.0.rows.0: a row is written {method: kd}, not 'kd'.",
        ),
        ("a: &x [1]\nb: *x", "uses a YAML alias"),
        ("a: " + "[" * 30 + "]" * 30, "nests deeper"),
        (
            "dataset: digits\nrecipe: crd240\ntables: [{name: t, title: t, pairs: [a], rows: [{method: kd}]}]",
            "grid bad.yaml: tables.0.pairs.0: a pair is written teacher:student, not 'a'.",
        ),
        (
            "dataset: digits\nrecipe: crd240\n"
            "tables: [{name: ../t, title: t, pairs: ['resnet8:resnet8'], rows: [{method: kd}]}]",
            "grid bad.yaml: tables.0.name: '../t' cannot be a name: it may have up to 64",
        ),
        (
            "dataset: digits\nrecipe: crd240\nseeds: [1, 1]\n"
            "tables: [{name: t, title: t, pairs: ['resnet8:resnet8'], rows: [{method: kd}]}]",
            "grid bad.yaml: seeds: seed 1 is named twice.",
        ),
    ],
)
def test_a_bad_grid_file_is_refused_with_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as refusal:
        load_grid(str(path), REGISTRY)
    assert sentence in str(refusal.value)


def one_table(pairs="[resnet14:resnet8]", rows="[{method: kd}]", more=""):
    return f"dataset: digits\nrecipe: crd240\ntables:\n- {{name: t, title: t, pairs: {pairs}, rows: {rows}}}\n{more}"


@pytest.mark.parametrize(
    "pairs",
    [
        "[resnet14: resnet8]",
        "[resnet14, resnet8]",
        "{resnet14: resnet8}",
        "[[resnet14, resnet8]]",
        "[{resnet14: resnet8}, resnet14:resnet8]",
    ],
)
def test_what_is_nearly_a_pair_is_told_how_it_is_written(tmp_path, pairs):
    path = tmp_path / "bad.yaml"
    path.write_text(one_table(pairs))
    with pytest.raises(UserError, match="a pair is written teacher:student, without a space: resnet14:resnet8"):
        load_grid(str(path), REGISTRY)


@pytest.mark.parametrize("seeds", ["0-2", "[0-2]", "0, 1, 2", "[0, 1-2]", "[0, 1, 2]", '["0", 1, 2]'])
def test_seeds_are_numbers_and_ranges(tmp_path, seeds):
    path = tmp_path / "mine.yaml"
    path.write_text(one_table(more=f"seeds: {seeds}"))
    assert load_grid(str(path), REGISTRY).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
    ids=["byte order mark", "UTF-16", "CRLF"],
)
def test_a_grid_as_other_systems_editors_save_it_is_read(tmp_path, encode):
    path = tmp_path / "mine.yaml"
    path.write_bytes(encode(TINY_GRID))
    assert load_grid(str(path), REGISTRY).tables[0].title == "A tiny table"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (one_table(more="teacher_seed: true"), "teacher_seed"),
        (one_table(more="teacher_recipe: {epochs: yes}"), "epochs"),
        (one_table(more="teacher_recipe: {milestones: [3, true]}"), "milestones.1"),
        (one_table(more="teacher_recipe: {lr_by_family: {vgg: true}}"), "lr_by_family.vgg"),
        (one_table(more="teacher_recipe: {augmentation: {crop_padding: false}}"), "augmentation.crop_padding"),
        (one_table(rows="[{method: kd, params: {tau: true}}]"), "tau"),
    ],
)
def test_true_is_no_number(tmp_path, text, key):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf": {key}: input should be a number, not (true|false)"):
        expand(str(path))


def test_a_grids_file_is_found_by_a_name_that_lacks_its_ending(tmp_path):
    (tmp_path / "mine.yaml").write_text(TINY_GRID)
    with pytest.raises(UserError, match=rf"no grid is called '.*/mine'; the file is {tmp_path}/mine\.yaml: a grid"):
        load_grid(str(tmp_path / "mine"), REGISTRY)


def test_params_of_another_type_are_refused():
    with pytest.raises(UserError, match="method 'kd': alpha: input should be a number"):
        expand("quick", params={"kd": {"alpha": "much"}})


def test_a_title_names_another_data_set_than_the_grids():
    assert {table.title for table in load_grid("quick", REGISTRY, Selection(dataset="cluttered_digits")).tables} == {
        table.title for table in load_grid("quick", REGISTRY).tables
    }
    moved = load_grid("quick", REGISTRY, Selection(dataset="parquet:some/where"))
    assert all(table.title.endswith(" (here on where)") for table in moved.tables)
    held = load_grid("quick", REGISTRY, Selection(dataset="holdout:parquet:some/where"))
    assert all(table.title.endswith(" (here on where-holdout)") for table in held.tables)
    # Tables with a paper's numbers say it where those are left out.
    assert load_grid("cifar100", REGISTRY, Selection(dataset="digits")).tables == load_grid("cifar100", REGISTRY).tables


@pytest.mark.parametrize(
    ("selection", "end"),
    [
        (Selection(recipe_name="crd16"), " (here after 16 epochs)"),
        (Selection(recipe={"epochs": 1, "milestones": []}), " (here after 1 epoch)"),
        (Selection(recipe={"batch_size": 128}), ""),
        (Selection(recipe_name="crd16", dataset="digits"), " (here after 16 epochs)"),
    ],
)
def test_a_title_names_other_epochs_than_the_grids(selection, end):
    own = [table.title for table in load_grid("cifar100", REGISTRY).tables]
    assert [table.title for table in load_grid("cifar100", REGISTRY, selection).tables] == [f"{t}{end}" for t in own]


def test_a_title_names_both():
    both = Selection(recipe={"epochs": 1, "milestones": []}, dataset="parquet:some/where")
    assert load_grid("quick", REGISTRY, both).tables[0].title.endswith(" (here on where, after 1 epoch)")


def test_a_pre_stage_of_another_class_than_the_defaults_is_refused(monkeypatch):
    """A pre-stage's run does not say for which of the method's parameters it was declared."""
    method = REGISTRY.method("mtkd_ssr")
    heads = method.pre_stage(method.Params())

    class Other(heads[0]):
        pass

    monkeypatch.setattr(
        method, "pre_stage", classmethod(lambda cls, params: heads if params == cls.Params() else (Other, heads[1]))
    )
    assert expand("quick", pairs=("resnet20:resnet8",), methods=("mtkd_ssr",)).cells
    with pytest.raises(UserError, match="'mtkd_ssr' declares the pre-stage Other for some parameters and TeacherHeads"):
        expand("quick", pairs=("resnet20:resnet8",), methods=("mtkd_ssr",), params={"mtkd_ssr": {"tau": 1.5}})


@pytest.mark.parametrize("declaration", ["needs_for", "decline", "caveat_for", "pre_stage"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (IndexError("out of range"), "IndexError: out of range"),
        (SystemExit(0), "RuntimeError: the method calls sys.exit"),
    ],
)
def test_a_declaration_that_raises_is_said_with_its_method(monkeypatch, declaration, error, said):
    def raising(cls, *arguments):
        raise error

    monkeypatch.setattr(REGISTRY.method("dkd"), declaration, classmethod(raising))
    with pytest.raises(UserError, match=f"method 'dkd': `{declaration}` raises {said}"):
        expand("quick", methods=("dkd",))
    assert expand("quick", methods=("kd",)).cells


def test_candidates_stand_behind_their_row_and_are_no_numbers_of_the_papers():
    varied = expand("cifar100", tables=("table1",), candidates={"kd": {"tau": [1, 2.5], "alpha": [0.5, 2]}})
    rows = varied.grid.tables[0].rows
    assert [row.key for row in rows if row.method == "kd"] == [
        "kd",
        "kd/tau-1_alpha-0.5",
        "kd/tau-1_alpha-2",
        "kd/tau-2.5_alpha-0.5",
        "kd/tau-2.5_alpha-2",
    ]
    position = [row.key for row in rows].index("kd")
    assert rows[position].published and not any(row.published for row in rows[position + 1 : position + 5])
    assert rows[position + 4].label == "KD (tau 2.5, alpha 2)"
    assert rows[position + 4].params == {"tau": 2.5, "alpha": 2}
    assert [row for row in rows if row.method != "kd"] == [
        row for row in expand("cifar100", tables=("table1",)).grid.tables[0].rows if row.method != "kd"
    ]


def test_a_candidate_equal_to_the_method_as_it_is_costs_nothing():
    alone, varied = (
        distinct(all_runs(expand("quick", methods=("kd",), seeds=(0,), candidates=chosen)))
        for chosen in ({}, {"kd": {"tau": [4, 8]}})
    )
    assert len(varied) == 2 * len(alone) and {run.id for run in alone} < {run.id for run in varied}


def test_a_row_that_sets_the_parameter_itself_is_not_varied(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_GRID.replace("}]", "}, {method: kd, variant: hot, params: {tau: 9}}]"))
    rows = load_grid(str(path), REGISTRY, Selection(candidates={"kd": {"tau": [1]}})).tables[0].rows
    assert [row.key for row in rows if row.method == "kd"] == ["kd", "kd/tau-1", "kd/hot"]
    other = load_grid(str(path), REGISTRY, Selection(candidates={"kd": {"alpha": [2]}})).tables[0].rows
    assert [row.key for row in other if row.method == "kd"][2:] == ["kd/hot", "kd/hot_alpha-2"]
    assert other[-1].params == {"tau": 9, "alpha": 2}


def test_values_that_names_cannot_hold_make_names_all_the_same():
    chosen = {"dskd": {"blocks": [[1], [1, 2]]}}
    rows = expand("cifar100", tables=("table1",), methods=("dskd",), candidates=chosen).grid.tables[0].rows
    assert [row.key for row in rows] == ["dskd", "dskd/blocks-_1_", "dskd/blocks-_1_2_"]


@pytest.mark.parametrize(("grid", "name"), [("zoo", "CRD"), ("quick", "crd")])
def test_a_label_says_what_the_parameters_add(grid, name):
    """Whether or not the grid names the row: CRD's authors have no KD term in their own."""
    for params, label in (({}, f"{name} (+ KD)"), ({"crd": {"alpha": 0}}, name)):
        assert {cell.label for cell in expand(grid, methods=("crd",), params=params).cells} == {label}


@pytest.mark.parametrize(
    ("method", "params", "told"),
    [
        ("dks", {"heads": "branch"}, {"alpha": 1.0, "tau": 1.0}),
        ("dks", {"heads": "authors"}, {"alpha": 1.0, "tau": 1.0, "heads": "authors"}),
    ],
)
def test_a_parameter_that_a_method_gained_leaves_the_ids_of_its_results(method, params, told):
    runs = all_runs(
        expand(tables=("table1",), pairs=("wrn_40_2:wrn_16_2",), methods=(method,), params={method: params})
    )
    assert all(run.params == told for run in runs) and runs
