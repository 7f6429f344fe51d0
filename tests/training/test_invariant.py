"""A run gives the same result alone, in any cohort, and after any number of interruptions: bit for bit on a CPU."""

import shutil

import pytest

from kdbench.execution.plan import cohorts
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from tests.training.support import GAINED, outcome, train, train_interrupted, trainer
from tests.training.support import light_runs as runs

BUILTIN = load_plugins().usable("method")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Every built-in method, teacher-free ones apart, in one cohort."""
    folder = tmp_path_factory.mktemp("together")
    group = runs(*BUILTIN)
    return folder, {
        method: record for cohort in cohorts(group, Store(folder)) for method, record in train(folder, cohort).items()
    }


def test_a_cohort_holds_all_methods_of_a_teacher(together):
    _, records = together
    assert records.keys() == set(BUILTIN)
    assert max(record.cost.cohort_size for record in records.values()) >= 16


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A folder with the teacher alone, trained for this and not the one of the cohort."""
    folder = tmp_path_factory.mktemp("taught")
    trainer(folder).train([runs("kd")[0].teacher.trained_by])
    return folder


@pytest.mark.parametrize("method", BUILTIN)
def test_alone_as_in_a_cohort(together, taught, tmp_path, method):
    _, records = together
    shutil.copytree(taught, tmp_path, dirs_exist_ok=True)
    assert outcome(train(tmp_path, runs(method))[method]) == outcome(records[method])


#: Of each kind one: no state of its own, branches, a bank with random numbers, a kept classifier, a pre-stage.
KINDS = ("kd", "dskd", "crd", "simkd", "mtkd_ssr")


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_interrupted_as_unbroken(together, tmp_path, stop_after):
    """Batches are 3 an epoch: a stop after 1 and 4 lies within an epoch, after 3 at its end."""
    _, records = together
    group = runs(*KINDS)
    train_interrupted(tmp_path, group, stop_after=stop_after)
    assert all(Store(tmp_path).checkpoint_path(run.id).exists() for run in group)
    resumed = train(tmp_path, group)
    for method in KINDS:
        assert outcome(resumed[method]) == outcome(records[method])
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_interrupted_again_and_again(together, tmp_path):
    _, records = together
    group = runs("crd")
    for _ in range(5):
        train_interrupted(tmp_path, group, stop_after=1)
    assert outcome(train(tmp_path, group)["crd"]) == outcome(records["crd"])


#: With a student alone, a kept classifier, labels in several terms, a pre-stage.
SOFT = ("kd", "simkd", "byot", "ft")


@pytest.fixture(scope="module")
def gained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gained")
    group = runs(*SOFT, recipe=GAINED)
    return {m: record for cohort in cohorts(group, Store(folder)) for m, record in train(folder, cohort).items()}


@pytest.mark.parametrize("method", SOFT)
def test_alone_as_in_a_cohort_by_every_part_of_a_recipe(gained, tmp_path, method):
    assert outcome(train(tmp_path, runs(method, recipe=GAINED))[method]) == outcome(gained[method])


@pytest.mark.parametrize("stop_after", [2, 4])
def test_interrupted_as_unbroken_by_every_part_of_a_recipe(gained, tmp_path, stop_after):
    """The first of these is within the first epoch, the second within the second; averages and moments go on."""
    group = runs(*SOFT[:2], recipe=GAINED)
    train_interrupted(tmp_path, group, stop_after=stop_after)
    resumed = train(tmp_path, group)
    for method in SOFT[:2]:
        assert outcome(resumed[method]) == outcome(gained[method])


@pytest.mark.parametrize("changes", [{"ema_decay": None}, {"accumulate": 1}, {"clip_norm": None}, {"optimizer": "sgd"}])
def test_every_part_of_a_recipe_counts(gained, tmp_path, changes):
    (run,) = runs("student", recipe=GAINED.model_copy(update={"epochs": 1, "warmup_epochs": 0}))
    (other,) = runs("student", recipe=run.recipe.model_copy(update=changes))
    one, two = (train(tmp_path, [each])["student"] for each in (run, other))
    assert one.id != two.id and one.weights_sha256 != two.weights_sha256


def test_members_at_other_positions_form_cohorts_of_their_own(tmp_path):
    group = runs("kd", "sp")
    train_interrupted(tmp_path, group[:1], stop_after=2)
    assert sorted(len(cohort) for cohort in cohorts(group, Store(tmp_path))) == [1, 1]
    train_interrupted(tmp_path, group[1:], stop_after=2)
    assert [len(cohort) for cohort in cohorts(group, Store(tmp_path))] == [2]


def test_seeds_methods_and_roles_are_independent_streams(together, tmp_path):
    _, records = together
    other = train(tmp_path, runs("student", seed=1))["student"]
    assert other.weights_sha256 != records["student"].weights_sha256
    teacher = runs("kd", pair="shallower:shallower")[0].teacher.trained_by
    student = runs("student")[0]
    assert (teacher.student, teacher.recipe, teacher.seed) == (student.student, student.recipe, student.seed)
    assert teacher.id != student.id
