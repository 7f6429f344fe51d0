"""`kdbench results`, and what `kdbench run` and `table` make of damaged and stale results."""

import json
import os
import shutil

import pytest

from kdbench.cli.reading import plan_of
from kdbench.execution.upkeep import collect, leftovers
from kdbench.inputs.errors import UserError
from kdbench.store import files
from kdbench.store.store import Store
from tests.cli.support import kdbench, tiny_grid
from tests.data.support import write_jpegs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny grid, trained."""
    folder = tmp_path_factory.mktemp("trained")
    grid = tiny_grid(folder)
    assert kdbench("run", "--grid", grid, "--results", folder / "results", "--workers", 1).code == 0
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of it, to be spoilt."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def on(folder):
    return "--grid", folder / "tiny.yaml", "--results", folder / "results"


def record_of(folder, method, seed=0):
    records = Store(folder / "results").find().records.values()
    return next(record for record in records if record.run.method == method and record.run.seed == seed)


def made_stale(folder, method):
    """The record of a run as older code would have left it."""
    record = record_of(folder, method)
    sources = record.basis.sources | {f"kdbench_methods.{method}": "0" * 64}
    basis = record.basis.model_copy(update={"sources": sources})
    Store(folder / "results").write(record.model_copy(update={"basis": basis}))
    return record


def test_a_sound_folder(trained):
    done = kdbench("results", "check", "--results", trained / "results")
    assert done.code == 0 and "5 sound records, 0 problems" in done.out
    done = kdbench("results", "gc", "--results", trained / "results")
    assert done.code == 0 and "0 files removed" in done.out
    done = kdbench("results", "check", "--results", trained / "none")
    assert done.code == 2 and "does not exist" in done.err


def test_data_are_compared_where_it_is_asked_for(trained, tmp_path):
    words = ["results", "check", "--results", trained / "results"]
    done = kdbench(*words, "--data")
    assert done.code == 0 and "digits: 5 records of 5 rest on these data\n" in done.out
    other = kdbench(*words, "--data", "--json", "--dataset", f"imagefolder:{write_jpegs(tmp_path / 'pets')}")
    found = json.loads(other.out)
    assert other.code == 1 and found["data"] == [] and found["sound_records"] == 5
    assert "no record rests on data set 'pets@" in found["problems"][0]["what"]
    assert "only on others: digits" in found["problems"][0]["what"]
    alone = kdbench(*words, "--dataset", "digits")
    assert alone.code == 2 and "--dataset says where the data lie that --data reads; give both" in alone.err


def test_damage_is_found_and_set_aside_and_trained_again(folder):
    store, kd, student = Store(folder / "results"), record_of(folder, "kd"), record_of(folder, "student")
    path = store.record_path(kd.id)
    path.write_text(path.read_text().replace('"test_top1": ', '"test_top1": 1'))
    weights = store.weights_path(student.id)
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\0")
    done = kdbench("results", "check", "--results", store.root)
    assert done.code == 1 and "its checksum does not hold" in done.out and f"{weights}: its tensors are not" in done.out
    done = kdbench("results", "repair", "--results", store.root)
    assert done.code == 0 and "2 problems repaired" in done.out
    names = {file.name for file in (store.root / "damaged").iterdir()}
    assert names == {path.name, weights.name, f"{student.id}.json"}
    done = kdbench("run", *on(folder), "--workers", 1)
    assert done.code == 0 and "2 finished, 2 to train" in done.out
    for old in (kd, student):
        assert store.record(old.id).curve == old.curve
    assert kdbench("results", "check", "--results", store.root).code == 0


def test_a_damaged_record_hides_no_other_and_run_mends_it(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    store.record_path(kd.id).write_text("{")
    done = kdbench("table", *on(folder), "--json")
    assert done.code == 0 and f"{kd.id}.json is damaged" in done.err
    assert [cell["n"] for cell in json.loads(done.out)] == [2, 1]
    done = kdbench("run", *on(folder), "--workers", 1)
    assert done.code == 0 and "set aside as" in done.out and "3 finished, 1 to train" in done.out
    assert store.record(kd.id).curve == kd.curve


def test_leftovers_are_collected(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    old = [
        store.checkpoint_path(kd.id),
        store.root / "records" / ".x.json.0123456789abcdef.tmp",
        store.claims / f"{kd.id}.1",
    ]
    for path in old:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (1.0, 1.0))
    (store.claims / f"{kd.id}.2").write_bytes(b"")
    done = kdbench("results", "gc", "--dry-run", "--results", store.root)
    assert done.code == 0 and "3 files would be removed" in done.out and all(path.exists() for path in old)
    done = kdbench("results", "gc", "--results", store.root)
    assert done.code == 0 and not any(path.exists() for path in old)
    assert (store.claims / f"{kd.id}.2").exists(), "its owner may be on another machine"
    assert kdbench("results", "check", "--results", store.root).code == 0


def test_leftovers_may_be_collected_while_a_file_is_written(folder, monkeypatch):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    (store.root / "checkpoints").mkdir(exist_ok=True)
    store.checkpoint_path(kd.id).write_bytes(b"")

    class Slow(files.Disk):
        def rename(self, source, target):
            gone = leftovers(store)
            assert gone == [store.checkpoint_path(kd.id)]
            gone[0].unlink()  # as its run's own process does
            assert collect(gone) == 0
            super().rename(source, target)

    monkeypatch.setattr(files, "disk", Slow())
    files.write_atomically(store.record_path(kd.id), store.record_path(kd.id).read_bytes())
    assert store.record(kd.id) == kd


def test_what_is_being_tried_again_is_no_leftover(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    store.write(kd.model_copy(update={"status": "failed"}))
    begun = store.checkpoint_path(kd.id)
    begun.parent.mkdir(exist_ok=True)
    begun.write_bytes(b"")
    assert "0 files removed" in kdbench("results", "gc", "--results", store.root).out and begun.exists()


def test_a_folder_that_was_misspelt_is_not_cleared_up(folder):
    for name in (".note.tmp", "mine/.x.json.0123456789abcdef.tmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    assert "0 files removed" in kdbench("results", "gc", "--results", folder).out


def test_students_weights_may_be_removed_and_a_teachers_may_not(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    store.weights_path(kd.id).unlink()
    assert kdbench("results", "check", "--results", store.root).code == 0
    assert "0 problems repaired" in kdbench("results", "repair", "--results", store.root).out
    assert store.record(kd.id) == kd
    store.weights_path(kd.run.teacher.trained_by.id).unlink()
    assert kdbench("results", "check", "--results", store.root).code == 1


def test_only_what_is_damaged_is_set_aside(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    path = store.record_path(kd.id)
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    done = kdbench("results", "check", "--results", store.root)
    assert done.code == 1 and "has format 3" in done.out and "4 sound records, 1 problem\n" in done.out
    listed = kdbench("results", "check", "--results", store.root, "--json")
    found = json.loads(listed.out)
    assert listed.code == 1 and found["sound_records"] == 4 and found["folder"] == str(store.root)
    (problem,) = found["problems"]
    assert problem["path"] == str(path) and "has format 3" in problem["what"] and problem["to_set_aside"] == []
    assert "0 problems repaired" in kdbench("results", "repair", "--results", store.root).out and path.exists()


def test_kept_states_are_verified(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    state = store.final_path(kd.id)
    state.parent.mkdir()
    state.write_bytes(b"")
    done = kdbench("results", "check", "--results", store.root)
    assert done.code == 1 and f"{state}: " in done.out


def test_nothing_stale_is_served_as_fresh(folder):
    stale = made_stale(folder, "kd")
    done = kdbench("table", *on(folder), "--json")
    assert done.code == 0 and "1 result is stale" in done.err and "kdbench_methods.kd" in done.err
    assert [cell["n"] for cell in json.loads(done.out)] == [2, 1]
    done = kdbench("table", *on(folder), "--json", "--keep", "stale")
    assert "shown as they are" in done.err and [cell["n"] for cell in json.loads(done.out)] == [2, 2]
    done = kdbench("run", *on(folder), "--dry-run", "--json")
    assert done.code == 0 and list(json.loads(done.out)["stale"]) == [stale.id]
    done = kdbench("run", *on(folder))
    assert done.code == 2 and stale.id in done.err and "--rerun stale" in done.err and "--keep stale" in done.err
    assert kdbench("run", *on(folder), "--rerun", "stale", "--keep", "stale").code == 2


def test_stale_results_are_kept_or_trained_again(folder):
    stale, store = made_stale(folder, "kd"), Store(folder / "results")
    done = kdbench("run", *on(folder), "--keep", "stale")
    assert done.code == 0 and "Nothing to train" in done.out
    done = kdbench("run", *on(folder), "--rerun", "stale", "--workers", 1)
    assert done.code == 0 and "3 finished, 1 to train" in done.out
    assert store.record(stale.id).basis == stale.basis and store.record(stale.id).curve == stale.curve
    assert [path.name for path in (store.root / "replaced").iterdir()] == [f"{stale.id}.json"]
    assert kdbench("run", *on(folder)).code == 0


def test_stale_results_stay_stale_if_setting_them_aside_is_cut_short(folder, monkeypatch):
    made_stale(folder, "supervised")

    def killed(store, run_id):
        start_anew(store, run_id)
        raise UserError("killed")

    start_anew = Store.start_anew
    with monkeypatch.context() as patch:
        patch.setattr(Store, "start_anew", killed)
        assert kdbench("run", *on(folder), "--rerun", "stale").code == 2
    done = kdbench("run", *on(folder), "--rerun", "stale", "--workers", 1)
    assert done.code == 0 and "2 finished, 2 to train; 1 teacher, 1 to train first" in done.out


@pytest.mark.parametrize("how", ["stale", "damaged"])
def test_what_another_process_set_aside_and_trained_since_the_plan_was_made_stays(folder, monkeypatch, how):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    if how == "stale":
        made_stale(folder, "kd")
    else:
        store.record_path(kd.id).write_text("{")
    words = ["run", *on(folder), "--rerun", "stale", "--workers", 1]

    def made(*given):
        plan = plan_of(*given)
        monkeypatch.undo()
        assert "1 to train" in kdbench(*words).out
        return plan

    monkeypatch.setattr("kdbench.cli.training.plan_of", made)
    done = kdbench(*words)
    assert done.code == 0 and "Nothing to train" in done.out, done.out
    aside = [path.name for name in ("replaced", "damaged") for path in store.files(name, ".json")]
    assert aside == [f"{kd.id}.json"] and store.record(kd.id).curve == kd.curve


def test_a_record_of_another_grid_and_format_is_refused_before_training(folder):
    store, kd = Store(folder / "results"), record_of(folder, "kd")
    path = store.record_path(kd.id)
    (path.parent / f"{'0' * 16}.json").write_text(path.read_text().replace('"format": 2', '"format": 1'))
    path.unlink()
    done = kdbench("run", *on(folder))
    assert done.code == 2 and "has format 1, and this kdbench reads format 2" in done.err and not path.exists()


def test_a_record_of_another_format_is_refused(folder):
    path = Store(folder / "results").record_path(record_of(folder, "kd").id)
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    for command in ("run", "table"):
        done = kdbench(command, *on(folder))
        assert done.code == 2 and "has format 1, and this kdbench reads format 2" in done.err
