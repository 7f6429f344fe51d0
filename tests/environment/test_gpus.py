"""The GPUs that a command may use, on machines that are made up."""

import pytest
import torch

from kdbench.environment.gpus import VARIABLE, chosen_gpus, visible_gpus
from kdbench.inputs.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """`machine(count, listed)`: one where torch sees `count` GPUs and `CUDA_VISIBLE_DEVICES` is `listed`."""

    def made(count, listed=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.delenv(VARIABLE, raising=False)
        if listed is not None:
            monkeypatch.setenv(VARIABLE, listed)

    return made


@pytest.mark.parametrize(
    ("count", "listed", "names"),
    [
        (0, None, []),
        (0, "", []),
        (3, None, ["0", "1", "2"]),
        (2, "5,3", ["5", "3"]),
        (2, " 5 , 3 ", ["5", "3"]),
        # CUDA stops at the first that is not there.
        (1, "5,-1,3", ["5"]),
        (2, "GPU-8a56,GPU-77f0", ["GPU-8a56", "GPU-77f0"]),
        # Of slices CUDA shows a process the first alone.
        (1, "MIG-41b0,MIG-9e52,MIG-c3d1", ["MIG-41b0", "MIG-9e52", "MIG-c3d1"]),
        (0, "MIG-41b0", []),
    ],
)
def test_what_may_be_used(machine, count, listed, names):
    machine(count, listed)
    assert [gpu.name for gpu in visible_gpus()] == names
    assert [gpu.number for gpu in visible_gpus()] == list(range(len(names)))


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("auto", ["7", "5", "3", "1"]),
        ("cuda", ["7", "5", "3", "1"]),
        ("cuda:1", ["5"]),
        ("cuda:3,cuda:0", ["1", "7"]),
        ("cuda:0, cuda:2", ["7", "3"]),
        ("cpu", []),
    ],
)
def test_which_are_chosen(machine, device, names):
    machine(4, "7,5,3,1")
    assert [gpu.name for gpu in chosen_gpus(device)] == names


def test_without_a_gpu_auto_is_the_cpu(machine):
    machine(0)
    assert chosen_gpus("auto") == chosen_gpus("cpu") == []


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cuda:4", "device 'cuda:4' is not there: torch sees 4 GPU"),
        ("cuda:0,cuda:9", "device 'cuda:9' is not there"),
        ("cuda:1,cuda:1", "names a GPU twice"),
        ("cpu,cuda:0", "unknown device 'cpu,cuda:0'"),
        ("cuda,cuda:0", "unknown device 'cuda,cuda:0'"),
        ("cuda:", "unknown device 'cuda:'"),
        ("cuda:-1", "unknown device 'cuda:-1'"),
        ("cuda:٣", "unknown device"),
        ("gpu", "unknown device 'gpu'"),
        ("", "unknown device ''"),
        ("cuda:0,", "unknown device 'cuda:0,'"),
    ],
)
def test_what_is_no_choice(machine, device, said):
    machine(4)
    with pytest.raises(UserError, match=said):
        chosen_gpus(device)


def test_cuda_where_there_is_none(machine):
    machine(0)
    with pytest.raises(UserError, match="torch sees 0 GPU"):
        chosen_gpus("cuda")
