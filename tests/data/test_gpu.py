"""Batches and augmentation on a device are those of a CPU."""

import pytest
import torch

from kdbench.data.augment import Augmentation
from kdbench.data.batches import Batches, eval_batches
from tests.gpu import CPU, DEVICES
from tests.training.support import noise_dataset

DATA = noise_dataset(size=70, side=32)


def batches(device: torch.device) -> Batches:
    made = Batches(DATA, augmentation=Augmentation(), batch_size=16, seed=3, device=device)
    made.epoch(2)
    return made


@pytest.mark.parametrize("device", DEVICES)
def test_batches(device):
    ours, theirs = batches(device), batches(CPU)
    assert ours.steps == 5  # the last holds 6 images
    for step in range(ours.steps):
        images, labels, index = ours.batch(step)
        expected, expected_labels, expected_index = theirs.batch(step)
        assert images.device.type == labels.device.type == device.type
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(labels.cpu(), expected_labels) and torch.equal(index.cpu(), expected_index)
        # A fused multiply-add rounds once where a CPU may round twice.
        torch.testing.assert_close(images.cpu(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_evaluation_batches(device):
    given = [
        list(eval_batches(DATA.test, mean=DATA.mean, std=DATA.std, batch_size=10, device=d)) for d in (device, CPU)
    ]
    for (images, labels), (expected, expected_labels) in zip(*given, strict=True):
        torch.testing.assert_close(images.cpu(), expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(labels.cpu(), expected_labels)
