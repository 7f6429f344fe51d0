"""Runs on images in files: the invariant, one reading for a cohort, and images that cannot be read."""

import pytest

from kdbench.data.reading import Loaders
from kdbench.execution import trainer as trainer_module
from kdbench.execution.plan import cohorts
from kdbench.store.store import Store
from kdbench.training.flops import forward_flops
from kdbench.training.step import GraphedStep
from tests.data.streams import SEEN, SIDE, streamed_dataset
from tests.training.lanes import FakeLanes
from tests.training.support import RECIPE, light_runs, outcome, registered, train, train_interrupted

METHODS = ("kd", "dskd", "crd", "simkd", "mtkd_ssr")
STREAMED = RECIPE.model_copy(update={"augmentation": SEEN})


@pytest.fixture(autouse=True, scope="module")
def read_here():
    """By the process that trains, where reading can be counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "loaders", lambda *_: Loaders())
        yield


def group(*methods, **options):
    return light_runs(*methods, recipe=STREAMED, dataset=streamed_dataset(), **options)


@pytest.fixture(scope="module")
def together(read_here, tmp_path_factory):
    return train(tmp_path_factory.mktemp("together"), group(*METHODS), dataset=streamed_dataset())


def test_networks_see_the_size_of_the_recipe(together):
    student = registered().architecture("shallower").build(4)
    assert together["kd"].cost.deployed_flops == forward_flops(student, SIDE)
    assert {record.cost.cohort_size for record in together.values()} == {len(METHODS)}


@pytest.mark.parametrize("method", METHODS)
def test_alone_as_in_a_cohort(together, tmp_path, method):
    assert outcome(train(tmp_path, group(method), dataset=streamed_dataset())[method]) == outcome(together[method])


@pytest.mark.parametrize(("stop_after", "left"), [(1, 32), (3, 20), (8, 20), (9, 12)])
def test_interrupted_as_unbroken_and_nothing_is_read_again(together, tmp_path, stop_after, left):
    """An epoch has 3 batches, of 8, 8 and 4 images, and then one of evaluation for each of the 5 members."""
    data = streamed_dataset()
    train_interrupted(tmp_path, group(*METHODS), stop_after=stop_after, dataset=data)
    data.train.reads.clear()
    resumed = train(tmp_path, group(*METHODS), dataset=data)
    assert {method: outcome(resumed[method]) for method in METHODS} == {m: outcome(together[m]) for m in METHODS}
    # What `diagnose` is asked about, all 20, is read once beside.
    assert len(data.train.reads) == left + 20


def test_a_cohort_reads_an_image_once_for_all_its_members(tmp_path):
    data = streamed_dataset()
    methods = ("kd", "at", "sp", "dkd")
    cohort = group(*methods)
    train(tmp_path, cohort[:1], dataset=data)  # trains the teacher beside
    alone = len(data.train.reads), len(data.test.reads)
    assert alone == (2 * 2 * 20, 2 * 2 * 10)
    data.train.reads.clear()
    data.test.reads.clear()
    assert len(train(tmp_path, cohort[1:], dataset=data)) == 3
    assert (len(data.train.reads), len(data.test.reads)) == (2 * 20, 2 * 10)


def test_a_pre_stage_reads_no_test_images(tmp_path):
    data = streamed_dataset()
    (run,) = group("mtkd_ssr")
    train(tmp_path, [run.teacher.trained_by], dataset=data)
    data.test.reads.clear()
    train(tmp_path, [run.pre_stage], dataset=data)
    assert data.test.reads == [] and len(data.train.reads) == 2 * 20 + run.pre_stage.recipe.epochs * 20


def test_captured_steps_have_the_same_bits(together, tmp_path, monkeypatch):
    lanes = FakeLanes()
    monkeypatch.setattr("kdbench.training.cohort.make_step", lambda work, device, count: GraphedStep(work, lanes))
    captured = train(tmp_path, group("kd", "crd"), dataset=streamed_dataset())
    assert {method: outcome(record) for method, record in captured.items()} == {
        method: outcome(together[method]) for method in ("kd", "crd")
    }
    # One graph for each size of a batch, for the teacher and for the cohort.
    assert lanes.log.count("capture") == 4 and lanes.log.count("replay") == 12


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_that_cannot_be_read_fails_all_who_would_see_it_and_they_go_on_once_it_is_mended(
    together, tmp_path, split
):
    data = streamed_dataset()
    train(tmp_path, [group("kd")[0].teacher.trained_by], dataset=data)
    files = getattr(data, split)
    sound, files.encoded[7] = files.encoded[7], b"no image"
    failed = train(tmp_path, group("kd", "crd"), dataset=data)
    reasons = {record.failure.reason for record in failed.values()}
    which = {"train": "training", "test": "test"}[split]
    assert reasons == {f"{which} image 3/7.jpg: {why}" for why in [next(iter(reasons)).partition(": ")[2]]}
    assert "no JPEG, PNG" in reasons.pop() and {record.status for record in failed.values()} == {"failed"}
    files.encoded[7] = sound
    assert [len(cohort) for cohort in cohorts(group("kd", "crd"), Store(tmp_path))] == [2]
    mended = train(tmp_path, group("kd", "crd"), dataset=data)
    assert {method: outcome(record) for method, record in mended.items()} == {
        method: outcome(together[method]) for method in ("kd", "crd")
    }
