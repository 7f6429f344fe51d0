"""A last batch of one image is trained on, or refused before training."""

from dataclasses import replace

import pytest

from kdbench.execution import last_batch
from kdbench.execution.last_batch import check_last_batch
from kdbench.execution.options import Options
from kdbench.execution.plan import Plan
from kdbench.execution.schedule import execute
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from tests.gpu import CPU
from tests.inputs.support import refused
from tests.training.support import RECIPE, noise_dataset, runs

#: In batches of 8.
LEAVES_ONE, LEAVES_NONE = noise_dataset(size=17), noise_dataset(size=16)


def check(*methods, dataset=LEAVES_ONE, pair="resnet14:resnet8", seeds=(0,), **recipe):
    given = [
        run for seed in seeds for run in runs(*methods, pair=pair, seed=seed, recipe=RECIPE.model_copy(update=recipe))
    ]
    needed = [needed for run in given for needed in (run.teacher and run.teacher.trained_by, run.pre_stage) if needed]
    check_last_batch([*needed, *given], load_plugins(), dataset)


def test_what_can_make_a_step_with_one_image_is_trained_on_it():
    check("student", "kd", "dskd", "crd", "mtkd_ssr", "rkd")


def test_what_cannot_is_named_with_the_way_out():
    assert refused(lambda: check("student", "reviewkd", "kd")) == (
        "17 training images in batches of 8 leave a single one for an epoch's last batch, and reviewkd on resnet8 can "
        "make no step with that; give another recipe.batch_size, such as 7, or leave that out."
    )
    # On maps of 1×1 it is the networks that cannot.
    said = refused(lambda: check("student", "kd", "at", pair="vgg13:vgg8"))
    assert "and teacher vgg13, student on vgg8, kd on vgg8 and 1 more can make no step" in said


@pytest.mark.parametrize("how", [{"dataset": LEAVES_NONE}, {"batch_size": 7}, {"max_steps": 2}])
def test_where_there_is_no_such_batch_nothing_is_refused(how):
    check("reviewkd", **how)


def test_a_method_that_fails_on_any_batch_is_left_to_its_run(monkeypatch):
    def broken(self, student, teacher, batch):
        raise RuntimeError("on any batch")

    monkeypatch.setattr(load_plugins().method("at"), "terms", broken)
    check("at")


def test_each_kind_of_run_is_tried_once_whatever_its_seed(monkeypatch):
    tried = []
    monkeypatch.setattr(last_batch, "_can", lambda run, *_: not tried.append((run.title, run.seed)))
    check("student", "mtkd_ssr", seeds=(0, 1, 2))
    assert sorted(title for title, _ in tried) == [
        "mtkd_ssr resnet14→resnet8 seed 0", "mtkd_ssr's pre-stage on resnet14", "student resnet8 seed 0",
        "teacher resnet14",
    ]  # fmt: skip


def test_who_wants_full_batches_is_refused_where_no_batch_is_full(monkeypatch):
    method = load_plugins().method("at")
    monkeypatch.setattr(method, "needs", replace(method.needs, full_batches=True))
    check("student", "at", batch_size=17)
    assert refused(lambda: check("student", "at", "kd", seeds=(0, 1), batch_size=18)) == (
        "17 training images fill no batch of 18, and at on resnet8 can make no step with fewer; give a "
        "recipe.batch_size of at most 17, or leave that out."
    )


def test_it_is_refused_before_training(tmp_path):
    (run,) = runs("reviewkd")
    plan, store = Plan([run], {}, [run.teacher.trained_by]), Store(tmp_path / "results")
    assert "reviewkd on resnet8" in refused(lambda: execute(plan, store, load_plugins(), LEAVES_ONE, Options(CPU)))
    assert not store.root.exists()
