"""A student has the teacher that its record will name, or it is not trained."""

import shutil

import pytest

from kdbench.execution.teachers import TeacherShelf
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.run import Teacher
from kdbench.store.store import Store
from kdbench.store.weights import save_weights
from tests.gpu import CPU
from tests.training.support import RECIPE, noise_dataset, runs, train

REGISTRY = load_plugins()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A results folder with the teacher of mtkd_ssr, and its pre-stage."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, runs("mtkd_ssr"))
    return folder


def shelf(folder, imported=None):
    return TeacherShelf(Store(folder), REGISTRY, noise_dataset(), CPU, imported or {})


def other(path, architecture="resnet14"):
    """Sound weights of the same network, but others."""
    return save_weights(REGISTRY.architecture(architecture).build(4), path, architecture, 4, {}, overwrite=True)


def test_weights_that_the_record_does_not_name_are_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (run,) = runs("mtkd_ssr")
    assert (
        shelf(tmp_path).teacher(run.teacher, run.recipe).sha256
        == Store(tmp_path).record(run.teacher.trained_by.id).weights_sha256
    )
    path = Store(tmp_path).weights_path(run.teacher.trained_by.id)
    other(path)
    with pytest.raises(UserError, match=r"teacher resnet14 has no sound weights \(its tensors are not those"):
        shelf(tmp_path).teacher(run.teacher, run.recipe)
    path.unlink()
    with pytest.raises(
        UserError, match=rf"does not exist.*put the right file at {path}, or give `kdbench results repair"
    ):
        shelf(tmp_path).teacher(run.teacher, run.recipe)


def test_so_are_a_pre_stages(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    store, (run,) = Store(tmp_path), runs("mtkd_ssr")
    method = shelf(tmp_path).pre_stage(run.pre_stage)
    other_weights = {name: tensor + 1 for name, tensor in method.state_dict().items()}
    save_weights(other_weights, store.weights_path(run.pre_stage.id), "resnet14", 4, {}, overwrite=True)
    with pytest.raises(UserError, match="pre-stage on resnet14 has no sound weights"):
        shelf(tmp_path).pre_stage(run.pre_stage)


def test_an_imported_file_that_was_replaced_is_refused(tmp_path):
    file = tmp_path / "teacher.safetensors"
    first = Teacher(architecture="resnet14", imported=other(file))
    assert shelf(tmp_path, {first.imported: file}).teacher(first, RECIPE).sha256 == first.imported
    other(file)
    with pytest.raises(UserError, match="is not the file that this command began with"):
        shelf(tmp_path, {first.imported: file}).teacher(first, RECIPE)
