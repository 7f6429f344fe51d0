"""Results of other code, data, teachers or arithmetic are stale, and nobody is served them unasked."""

import hashlib
import sys

import pytest

from kdbench.execution.options import Options
from kdbench.execution.plan import Plan, make_plan
from kdbench.execution.schedule import execute
from kdbench.execution.staleness import Present
from kdbench.plugins import load_plugins
from kdbench.run import Teacher
from kdbench.store.store import Store
from tests.gpu import CPU
from tests.training.support import noise_dataset, runs, train, train_interrupted

KD = runs("kd")
PLUGIN = """
import kdbench
from kdbench_methods.student import Student


class Changing(Student):
    name = "changing"


@kdbench.hookimpl
def kdbench_methods():
    return [Changing]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train(folder, KD)
    return folder


@pytest.fixture
def records(trained):
    return dict(Store(trained).find().records)


def why(records, **changes):
    """Why the kd run is stale when its basis is changed."""
    (run,) = KD
    basis = records[run.id].basis.model_copy(update=changes)
    return Present(load_plugins(), noise_dataset().checksum).why_stale(run, basis, records)


def test_what_was_just_trained_is_fresh(records):
    assert why(records) is None


def test_each_part_of_the_basis_counts(records):
    (run,) = KD
    sources = records[run.id].basis.sources
    assert "kdbench_methods.kd" in sources and "kdbench_architectures.resnet" in sources
    assert "numeric version 0" in why(records, numeric_version=0)
    assert why(records, sources=sources | {"kdbench_methods.kd": "0"}) == "code has changed: kdbench_methods.kd"
    assert "kdbench_methods.gone" in why(records, sources=sources | {"kdbench_methods.gone": "0"})
    assert why(records, packages={"losses-of-mine": "0.7"}) == "code has changed: losses-of-mine 0.7 → (none)"
    assert why(records, data_sha256="0") == "the data set has changed"
    assert why(records, teacher_sha256="0") == "its teacher resnet14 was trained again"


def test_the_code_of_an_imported_teacher_counts_and_that_of_a_trained_one_has_its_own_record():
    (run,) = runs("kd", pair="wrn_16_2:resnet8")
    imported = run.model_copy(update={"teacher": Teacher(architecture="wrn_16_2", imported="e" * 64)})
    bases = [Present(load_plugins()).basis(each, "0", "0", None) for each in (run, imported)]
    assert ["kdbench_architectures.wrn" in basis.sources for basis in bases] == [False, True]


def test_data_that_are_not_loaded_are_not_compared(records):
    (run,) = KD
    basis = records[run.id].basis.model_copy(update={"data_sha256": "0"})
    assert Present(load_plugins()).why_stale(run, basis, records) is None


def test_a_stale_teacher_makes_its_students_stale(records):
    (run,) = KD
    teacher = records[run.teacher.trained_by.id]
    old = teacher.basis.model_copy(update={"numeric_version": 0})
    records[teacher.id] = teacher.model_copy(update={"basis": old})
    assert why(records).startswith("its teacher resnet14 is stale (kdbench computes differently since")


def test_the_plan_names_finished_and_begun_runs(trained, tmp_path, monkeypatch):
    train_interrupted(tmp_path, runs("student"), stop_after=2)
    now = Present(load_plugins())
    assert not make_plan(KD, Store(trained), now).stale and not make_plan(runs("student"), Store(tmp_path), now).stale
    monkeypatch.setattr("kdbench.execution.staleness.NUMERIC_VERSION", 99)
    assert len(make_plan(KD, Store(trained), now).stale) == 2
    (begun,) = make_plan(runs("student"), Store(tmp_path), now).stale
    assert begun == runs("student")[0].id


def test_a_module_beside_a_plugin_file_counts(tmp_path, monkeypatch):
    (tmp_path / "my_weights.py").write_text("WEIGHT = 1.0\n")
    file = tmp_path / "weighted.py"
    file.write_text(f"import my_weights\n{PLUGIN}")
    monkeypatch.syspath_prepend(tmp_path)
    (run,) = (run.model_copy(update={"method": "changing"}) for run in runs("student"))
    basis = Present(load_plugins((file,))).basis(run, "0", None, None)
    load_plugins.cache_clear()
    assert "kdbench_methods.student" in basis.sources
    assert Present(load_plugins((file,))).why_stale(run, basis, {}) is None
    (tmp_path / "my_weights.py").write_text("WEIGHT = 0.1\n")
    load_plugins.cache_clear()
    assert Present(load_plugins((file,))).why_stale(run, basis, {}) == "code has changed: my_weights"
    load_plugins.cache_clear()
    del sys.modules["my_weights"]


def test_a_method_that_is_changed_while_others_train_is_stale(tmp_path):
    file = tmp_path / "changing.py"
    file.write_text(PLUGIN)
    registry = load_plugins((file,))
    (first,) = runs("student")
    later = first.model_copy(update={"method": "changing", "seed": 1})

    def change_it() -> bool:
        file.write_text(f"{PLUGIN}# changed\n")
        return False

    store, data = Store(tmp_path / "results"), noise_dataset()
    execute(Plan([first, later], {}, []), store, registry, data, Options(CPU, workers=1), stop_requested=change_it)
    records = store.find().records
    load_plugins.cache_clear()
    now = Present(load_plugins((file,)), data.checksum)
    assert now.why_stale(first, records[first.id].basis, records) is None
    assert "code has changed" in now.why_stale(later, records[later.id].basis, records)
    assert records[later.id].source.sha256 == hashlib.sha256(PLUGIN.encode()).hexdigest()
