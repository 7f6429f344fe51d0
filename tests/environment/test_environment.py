"""What a record says of the machine."""

from importlib.metadata import version

import pytest
import torch

from kdbench.environment import device as device_module
from kdbench.environment.device import describe_device, peak_memory, resolve_device, slow_in_bf16
from kdbench.environment.summary import environment
from tests.gpu import CPU, CUDA, needs_gpu


def test_a_cpu():
    assert "cores" in describe_device(CPU)
    assert peak_memory(CPU) > 1e6
    assert environment(CPU)["packages"]["torch"] == version("torch")


@pytest.mark.parametrize("supported", [True, False])
def test_a_cpu_that_is_slow_in_bf16(supported, monkeypatch):
    """By what PyTorch itself asks before it takes its own convolution instead of oneDNN's."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert slow_in_bf16(CPU) != supported and not slow_in_bf16(CUDA)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not slow_in_bf16(CPU)


def test_the_losses_implementation_is_recorded(monkeypatch):
    monkeypatch.delenv("KDBENCH_LOSS_BACKEND", raising=False)
    assert environment(CPU)["losses"] == "auto"
    monkeypatch.setenv("KDBENCH_LOSS_BACKEND", "reference")
    assert environment(CPU)["losses"] == "reference"


def test_a_missing_driver_is_no_error(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert device_module.driver.__wrapped__() is None


@needs_gpu
def test_a_gpu():
    assert environment(CUDA)["driver"]
    assert resolve_device("auto").type == resolve_device("cuda:0").type == "cuda"
    assert torch.cuda.get_device_name() in describe_device(CUDA)
    before = peak_memory(CUDA)
    kept = torch.empty(before + 2**26, dtype=torch.uint8, device=CUDA)
    assert peak_memory(CUDA) >= kept.numel()
