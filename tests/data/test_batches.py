from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional as tv

from kdbench.data import Augmentation
from kdbench.data.batches import Batches, eval_batches
from kdbench.data.dataset import Channels, channel_statistics, make_dataset
from tests.data.support import random_split

MEAN, STD = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
CPU = torch.device("cpu")


def make(
    size: int = 37,
    batch_size: int = 8,
    *,
    name: str = "noise",
    statistics: tuple[Channels, Channels] = (MEAN, STD),
    augmentation: Augmentation | None = None,
    seed: int = 0,
    device: torch.device = CPU,
) -> Batches:
    split = random_split(size, 8)
    dataset = make_dataset(name, tuple("abcde"), split, split, statistics)
    augmentation = augmentation or Augmentation()
    return Batches(dataset, augmentation=augmentation, batch_size=batch_size, seed=seed, device=device)


def whole_epoch(batches: Batches, epoch: int) -> list[tuple[torch.Tensor, ...]]:
    batches.epoch(epoch)
    return [batches.batch(step) for step in range(batches.steps)]


def equal(left: tuple[torch.Tensor, ...], right: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_shapes_types_and_layout() -> None:
    for images, labels, index in whole_epoch(make(), 0):
        count = len(index)
        assert (images.shape, images.dtype) == ((count, 3, 8, 8), torch.float32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (labels.shape, labels.dtype, index.dtype) == ((count,), torch.int64, torch.int64)


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
def test_each_epoch_visits_every_image_once(size: int, batch_size: int, epoch: int) -> None:
    batches = make(size, batch_size)
    seen = whole_epoch(batches, epoch)
    assert batches.steps == -(-size // batch_size)
    sizes = [len(index) for *_, index in seen]
    assert sizes[:-1] == [batch_size] * (batches.steps - 1)
    assert sizes[-1] == size - batch_size * (batches.steps - 1)
    assert torch.cat([index for *_, index in seen]).sort().values.tolist() == list(range(size))
    for _, labels, index in seen:
        assert torch.equal(labels, index % 5)


def test_a_batch_is_a_pure_function_of_seed_epoch_and_step() -> None:
    in_sequence = {epoch: whole_epoch(make(100), epoch) for epoch in (1, 2, 3)}
    alone = make(100)
    alone.epoch(3)
    assert equal(alone.batch(7), in_sequence[3][7])
    alone.epoch(1)
    assert equal(alone.batch(0), in_sequence[1][0])


def test_order_crops_and_flips_change_with_epoch_seed_and_data_set() -> None:
    def drawn(epoch: int = 1, **options: Any) -> torch.Tensor:
        batches = make(200, 200, **options)
        batches.epoch(epoch)
        return batches.drawn(0)[0]

    first = drawn()
    assert torch.equal(first, drawn())
    for other in (drawn(epoch=2), drawn(seed=1), drawn(name="other")):
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_batch_size_does_not_change_what_is_drawn() -> None:
    small, large = (torch.cat([x for x, *_ in whole_epoch(make(37, size), 2)]) for size in (5, 37))
    assert torch.equal(small, large)


def test_the_plan_is_fixed() -> None:
    # Changes only when every old result is to be thrown away.
    batches = make(12, 12)
    batches.epoch(1)
    index, top, left, flip = batches.drawn(0)[0].tolist()
    assert index == [7, 6, 3, 0, 11, 5, 4, 10, 1, 8, 2, 9]
    assert top == [3, 0, 8, 6, 5, 2, 7, 4, 5, 3, 1, 0]
    assert left == [7, 7, 3, 6, 3, 8, 4, 0, 6, 0, 8, 8]
    assert flip == [0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0]


def test_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = whole_epoch(make(), 5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert all(equal(a, b) for a, b in zip(first, whole_epoch(make(), 5), strict=True))


def test_pixel_statistics_after_normalisation() -> None:
    split = random_split(2000, 8)
    mean, std = channel_statistics(split.images)
    plain = make(2000, 2000, statistics=(mean, std), augmentation=Augmentation(crop_padding=0))
    ((images, *_),) = whole_epoch(plain, 0)
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(images.std((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-5)
    # Of 8 rows, 20/9 are padding on average: |offset − 4| rows fall outside.
    padded = make(2000, 2000, statistics=((0.0,) * 3, (1.0,) * 3))
    ((images, *_),) = whole_epoch(padded, 0)
    inside = (1 - 20 / 9 / 8) ** 2
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.tensor(mean) * inside, rtol=0.02, atol=0)


def test_batch_before_epoch_and_outside_it_is_refused() -> None:
    batches = make()
    with pytest.raises(RuntimeError, match=r"Batches\.epoch"):
        batches.batch(0)
    batches.epoch(0)
    for step in (-1, batches.steps):
        with pytest.raises(IndexError, match=f"batch {step} of an epoch of {batches.steps}"):
            batches.batch(step)


def test_eval_batches_are_torchvisions_in_order() -> None:
    split = random_split(11, 6)
    seen = list(eval_batches(split, MEAN, STD, 4, CPU))
    assert [len(labels) for _, labels in seen] == [4, 4, 3]
    assert torch.equal(torch.cat([labels for _, labels in seen]), split.labels)
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in seen)
    expected = [tv.normalize(tv.to_tensor(image.numpy()), MEAN, STD) for image in split.images]
    torch.testing.assert_close(torch.cat([images for images, _ in seen]), torch.stack(expected), rtol=0, atol=1e-6)


def test_gathering_asks_the_device_for_nothing() -> None:
    # A value read back, or a shape that depends on values, cannot be traced on tensors that have none.
    batches = make(device=torch.device("meta"))
    images, labels, index = batches.gather((torch.empty(4, 8, dtype=torch.int64, device="meta"),))
    assert (images.shape, labels.shape, index.shape) == ((8, 3, 8, 8), (8,), (8,))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_and_gathers_as_the_cpu_and_can_be_captured() -> None:
    ours, theirs = make(), make(device=torch.device("cuda"))
    for here, there in zip(whole_epoch(ours, 3), whole_epoch(theirs, 3), strict=True):
        assert torch.equal(here[2], there[2].cpu())
        torch.testing.assert_close(here[0], there[0].cpu(), rtol=0, atol=1e-6)
    static = theirs.drawn(0)[0].clone()
    theirs.gather((static,))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        images, labels, _ = theirs.gather((static,))
    static.copy_(theirs.drawn(1)[0])
    graph.replay()
    expected = theirs.batch(1)
    assert torch.equal(images, expected[0])
    assert torch.equal(labels, expected[1])
