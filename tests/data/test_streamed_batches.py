"""Batches of images in files: a pure function of (data set, seed, epoch, step), read once and none too many."""

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as tv

from kdbench.data.augment import Augmentation
from kdbench.data.batches import Batches
from kdbench.data.dataset import make_dataset
from kdbench.data.decode import decode_pixels, decode_rgb
from kdbench.data.delivery import delivery, test_images, training_images
from kdbench.data.reading import Loaders, NotDelivered, Reader, Wanted
from kdbench.data.streamed import StreamedDataset
from kdbench.data.streamed_batches import EVAL_BATCH, StreamedBatches
from kdbench.execution.loaders import loaders
from kdbench.plugins import load_plugins
from kdbench.recipe import Recipe
from tests.data.streams import SEEN, SIDE, picture, streamed_dataset
from tests.data.support import random_split

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=3, batch_size=8, augmentation=SEEN)
test_images.__test__ = False


def make(
    data: StreamedDataset, recipe: Recipe = RECIPE, seed: int = 0, read_by: Loaders | None = None
) -> StreamedBatches:
    made = delivery(data, recipe, seed, CPU, read_by or Loaders())
    assert isinstance(made, StreamedBatches)
    return made


def epoch_of(batches: StreamedBatches, epoch: int, first: int = 0) -> Iterator[tuple[torch.Tensor, ...]]:
    batches.epoch(epoch)
    for step in range(first, batches.steps):
        yield batches.gather(batches.drawn(step))


def equal(left: tuple[torch.Tensor, ...], right: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_shapes_types_layout_and_labels() -> None:
    data = streamed_dataset()
    seen = list(epoch_of(make(data), 1))
    assert [len(index) for *_, index in seen] == [8, 8, 4]
    for images, labels, index in seen:
        assert (images.shape[1:], images.dtype) == ((3, SIDE, SIDE), torch.float32)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(labels, data.train.labels[index])
    assert torch.cat([index for *_, index in seen]).sort().values.tolist() == list(range(20))


def test_order_and_flips_are_those_of_images_in_memory() -> None:
    split = random_split(20, SIDE, 4)
    resident = Batches(
        make_dataset("files", tuple("abcd"), split, split),
        augmentation=Augmentation(),
        batch_size=8,
        seed=3,
        device=CPU,
    )
    streamed = make(streamed_dataset(), seed=3)
    for epoch in (1, 2):
        resident.epoch(epoch)
        streamed.epoch(epoch)
        for step in range(3):
            index, _, _, flip = resident.drawn(step)[0]
            assert torch.equal(streamed.drawn(step)[1], torch.stack([index, flip]))


def test_normalised_and_flipped_as_torchvision_does() -> None:
    data = streamed_dataset()
    batches = make(data)
    batches.epoch(1)
    pixels, (_, flip) = batches.drawn(0)
    images, *_ = batches.gather((pixels, batches.drawn(0)[1]))
    assert 0 < flip.sum() < 8
    for image, raw, flipped in zip(images, pixels, flip, strict=True):
        expected = tv.normalize(tv.to_tensor(raw.numpy()), data.mean, data.std)
        torch.testing.assert_close(image, tv.hflip(expected) if flipped else expected, rtol=0, atol=1e-6)


def test_a_batch_depends_on_seed_epoch_and_step_alone() -> None:
    in_sequence = {epoch: list(epoch_of(make(streamed_dataset()), epoch)) for epoch in (1, 2)}
    batches = make(streamed_dataset())
    for epoch, step in ((2, 1), (1, 2), (1, 0), (2, 2)):
        batches.epoch(epoch)
        assert equal(batches.gather(batches.drawn(step)), in_sequence[epoch][step])
    other = make(streamed_dataset(), seed=1)
    assert not equal(next(epoch_of(other, 1)), in_sequence[1][0])
    named = make(streamed_dataset(name="others"))
    assert not equal(next(epoch_of(named, 1)), in_sequence[1][0])


def test_an_image_is_changed_by_its_epoch_and_position_not_by_its_place_in_a_batch() -> None:
    reader = Reader(streamed_dataset(), SEEN, 0)
    together = reader.images(Wanted("training", [4, 7, 9], 1))
    assert torch.equal(reader.images(Wanted("training", [9], 1))[0], together[2])
    assert not torch.equal(reader.images(Wanted("training", [9], 2))[0], together[2])


def test_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = list(epoch_of(make(streamed_dataset()), 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert all(equal(a, b) for a, b in zip(first, epoch_of(make(streamed_dataset()), 1), strict=True))


def test_reading_begins_where_training_does() -> None:
    data = streamed_dataset()
    batches = make(data)
    *_, (_, _, index) = epoch_of(batches, 2, first=2)
    assert data.train.reads == index.tolist() and not data.test.reads


def test_each_image_is_read_once_an_epoch_and_the_test_set_after_it() -> None:
    data = streamed_dataset()
    batches = make(data, RECIPE.model_copy(update={"max_steps": 2}))
    for epoch in (1, 2, 3):
        batches.epoch(epoch)
        for _ in range(3):
            batches.drawn(0)
        batches.drawn(1)
        assert len(data.train.reads) == 16 * epoch
        labels = torch.cat([labels for _, labels in batches.test()])
        assert torch.equal(labels, data.test.labels)
        assert data.test.reads == list(range(10)) * epoch


def test_evaluation_sees_the_middle_of_the_resized_image() -> None:
    data = streamed_dataset(size=2 * EVAL_BATCH + 2)
    plain = SEEN.model_copy(update={"colour_jitter": None})
    seen = list(test_images(data, plain, CPU, Loaders()))
    assert [len(labels) for _, labels in seen] == [EVAL_BATCH, 1]
    assert torch.equal(torch.cat([labels for _, labels in seen]), data.test.labels)
    for position, image in enumerate(torch.cat([images for images, _ in seen])[:12]):
        pixels = tv.center_crop(tv.resize(decode_rgb(data.test.encoded[position]), 10), SIDE)
        expected = tv.normalize(tv.to_tensor(pixels), data.mean, data.std)
        # Of a level, by which resizing rounds otherwise.
        torch.testing.assert_close(image, expected, rtol=0, atol=1.01 / 255 / 0.224)


def test_training_images_as_evaluation_sees_them() -> None:
    data = streamed_dataset()
    found = training_images(data, SEEN, torch.tensor([3, 1]))
    assert torch.equal(found.labels, data.train.labels[[3, 1]]) and found.images.shape == (2, SIDE, SIDE, 3)
    test = replace(data, test=data.train, info=replace(data.info, test_size=20))
    assert torch.equal(found.images, Reader(test, SEEN).images(Wanted("test", [3, 1])))


def test_without_a_resized_crop_a_place_in_the_resized_image_is_drawn() -> None:
    data = streamed_dataset()
    how = Augmentation(crop_padding=2, size=SIDE, resize=9)
    images = Reader(data, how).images(Wanted("training", range(20), 1))
    assert images.shape == (20, SIDE, SIDE, 3)
    # Black borders are seen of some images, never of all four sides.
    black = (images == 0).all(3)
    edges = [black[:, 0].all(1), black[:, -1].all(1), black[:, :, 0].all(1), black[:, :, -1].all(1)]
    assert all(0 < edge.sum() < 20 for edge in edges)


def test_randaugment_and_jitter_change_colours() -> None:
    data = streamed_dataset()
    plain = SEEN.model_copy(update={"colour_jitter": None})
    bare = Reader(data, plain).images(Wanted("training", range(20), 1))
    for how in ({"rand_augment": (2, 9)}, {"colour_jitter": (0.4, 0.4, 0.4, 0.1)}):
        changed = Reader(data, plain.model_copy(update=how)).images(Wanted("training", range(20), 1))
        assert (changed != bare).flatten(1).any(1).sum() > 15


def encoded(mode: str, fmt: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    decode_rgb(picture(1, 2, 37, 23)).convert(mode).save(buffer, fmt, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        *(encoded("RGB", "JPEG", quality=q, subsampling=s) for q, s in ((95, 0), (80, 1), (60, 2))),
        encoded("RGB", "JPEG", progressive=True),
        *(encoded(mode, "JPEG") for mode in ("L", "CMYK")),
        *(encoded(mode, "PNG") for mode in ("RGB", "RGBA", "L", "P")),
        encoded("RGB", "WEBP"),
    ],
)
def test_pixels_are_pillows(data: bytes) -> None:
    pixels, expected = decode_pixels(data), torch.from_numpy(np.array(decode_rgb(data))).permute(2, 0, 1)
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (3, 23, 37))
    # Two builds of libjpeg may differ by a rounding.
    assert (pixels.int() - expected.int()).abs().max() <= 2


@pytest.mark.parametrize("read_by", [0, 2])
def test_an_image_that_cannot_be_decoded_is_named(read_by: int) -> None:
    data = streamed_dataset()
    data.train.encoded[5] = data.train.encoded[5][:-30]
    batches = make(data, read_by=replace(loaders(CPU, load_plugins()), number=read_by))
    try:
        with pytest.raises(
            NotDelivered, match=r"training image 1/5\.jpg: it cannot be decoded: .*; mend it or take it away"
        ):
            list(epoch_of(batches, 1))
    finally:
        batches.close()


@pytest.mark.long
def test_reading_processes_change_no_bit() -> None:
    expected = {epoch: list(epoch_of(make(streamed_dataset()), epoch)) for epoch in (1, 2, 3)}
    tested = list(make_tested())
    for number in (1, 3):
        batches = make(streamed_dataset(), read_by=replace(loaders(CPU, load_plugins()), number=number))
        try:
            for epoch in (1, 2):
                assert all(equal(a, b) for a, b in zip(expected[epoch], epoch_of(batches, epoch), strict=True))
                assert all(equal(a, b) for a, b in zip(tested, batches.test(), strict=True))
            # Back and forth, as measuring a step's time does.
            batches.epoch(1)
            for step in (1, 2, 1):
                assert equal(batches.gather(batches.drawn(step)), expected[1][step])
        finally:
            batches.close()


def make_tested() -> Iterator[tuple[torch.Tensor, ...]]:
    batches = make(streamed_dataset())
    batches.epoch(1)
    return batches.test()


def test_gathering_asks_the_device_for_nothing() -> None:
    # A value read back, or a shape that depends on values, cannot be traced on tensors that have none.
    meta = torch.device("meta")
    batches = delivery(streamed_dataset(), RECIPE, 0, meta, Loaders())
    drawn = (
        torch.empty(8, SIDE, SIDE, 3, dtype=torch.uint8, device=meta),
        torch.empty(2, 8, dtype=torch.int64, device=meta),
    )
    images, labels, index = batches.gather(drawn)
    assert (images.shape, labels.shape, index.shape) == ((8, 3, SIDE, SIDE), (8,), (8,))
