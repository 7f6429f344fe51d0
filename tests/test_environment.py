"""What a record says of the machine."""

from importlib.metadata import version

import torch

from kdbench import environment as environment_module
from kdbench.environment import describe_device, environment, peak_memory, resolve_device
from tests.gpu import CPU, CUDA, needs_gpu


def test_a_cpu():
    assert "cores" in describe_device(CPU)
    assert peak_memory(CPU) > 1e6
    assert environment(CPU)["packages"]["torch"] == version("torch")


def test_the_losses_implementation_is_recorded(monkeypatch):
    monkeypatch.delenv("KDBENCH_LOSS_BACKEND", raising=False)
    assert environment(CPU)["losses"] == "auto"
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "reference")
    assert environment(CPU)["losses"] == "reference"


def test_a_missing_driver_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment_module._driver.__wrapped__() is None


@needs_gpu
def test_a_gpu():
    assert environment(CUDA)["driver"]
    assert resolve_device("auto").type == resolve_device("cuda:0").type == "cuda"
    assert torch.cuda.get_device_name() in describe_device(CUDA)
    before = peak_memory(CUDA)
    kept = torch.empty(before + 2**26, dtype=torch.uint8, device=CUDA)
    assert peak_memory(CUDA) >= kept.numel()
