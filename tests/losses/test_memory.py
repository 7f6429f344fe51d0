"""What both passes hold at one time beyond the gradients that they return: no tensor of a gradient's size."""

import pytest
import torch

from kdbench.losses.analytic import blocks
from tests.losses.support import DEVICES, FUSED, OPERATORS, arguments, leaves, mapped, scratch

BATCH, CLASSES = 64, 256


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("backend", FUSED)
def test_no_temporary_of_a_gradients_size(backend, operator, dtype, monkeypatch):
    monkeypatch.setattr(blocks, "CPU_BYTES", 2**12)
    args = arguments(operator, BATCH, CLASSES, dtype=dtype, device=DEVICES[backend])
    assert scratch(backend, args, operator) < leaves(args)[0].nbytes / 2


def test_maps_in_channels_last_and_types_that_differ(monkeypatch):
    monkeypatch.setattr(blocks, "CPU_BYTES", 2**12)
    last = mapped(arguments("deep_mse", BATCH, 64), lambda x: x.contiguous(memory_format=torch.channels_last))
    assert scratch("analytic", last, "deep_mse") < last[0].nbytes / 2
    last[0] = last[0].bfloat16()
    assert scratch("analytic", last, "deep_mse") < last[0].nbytes / 2


def test_a_teacher_in_float64(monkeypatch):
    monkeypatch.setattr(blocks, "CPU_BYTES", 2**16)
    args = arguments("ce_kd", 2048, 16)
    args[1] = args[1].double()
    assert scratch("analytic", args, "ce_kd") < 5 * 2**16


def test_a_temperature_per_sample(monkeypatch):
    monkeypatch.setattr(blocks, "CPU_BYTES", 2**12)
    args = arguments("kd", BATCH, CLASSES)
    assert scratch("analytic", args, "kd", tau=torch.linspace(1, 4, BATCH)) < args[0].nbytes / 2


def test_the_reference_needs_several():
    """The meter sees what there is to see."""
    args = arguments("kd", BATCH, CLASSES)
    assert scratch("reference", args, "kd") > 2 * args[0].nbytes
