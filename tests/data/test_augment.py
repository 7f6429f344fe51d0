import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chi2_contingency, chisquare
from torchvision.transforms import RandomCrop, RandomHorizontalFlip
from torchvision.transforms import functional as tv

from kdbench.data import Augmentation, Split
from kdbench.data.augment import refuse_beyond_memory
from kdbench.data.batches import Batches, gather_batch, normalisation, window_offsets, zero_padded
from kdbench.data.dataset import make_dataset
from kdbench.inputs.errors import UserError
from tests.data.support import random_split

MEAN, STD = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)


def torchvision_window(image: torch.Tensor, padding: int, top: int, left: int, flip: int) -> torch.Tensor:
    """What torchvision's transforms make of one image, through PIL as the field's loaders do."""
    pixels = tv.pad(tv.to_pil_image(image.permute(2, 0, 1)), padding)
    pixels = tv.crop(pixels, top, left, image.shape[0], image.shape[1])
    return tv.normalize(tv.to_tensor(tv.hflip(pixels) if flip else pixels), MEAN, STD)


@pytest.mark.parametrize(("side", "padding"), [(8, 4), (5, 1), (4, 0), (3, 5)])
def test_every_window_is_torchvisions(side: int, padding: int) -> None:
    split = random_split(3, side)
    positions = torch.arange(2 * padding + 1)
    cases = torch.cartesian_prod(torch.arange(3), positions, positions, torch.arange(2))
    padded = zero_padded(split.images, padding)
    offsets = window_offsets(side, side, padded.shape[2])
    scale, shift = normalisation(MEAN, STD, side)
    images, labels = gather_batch(padded, split.labels, *cases.unbind(1), offsets, scale, shift)
    expected = torch.stack([torchvision_window(split.images[i], padding, *window) for i, *window in cases.tolist()])
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-6)
    assert torch.equal(labels, split.labels[cases[:, 0]])


def test_windows_need_not_be_square() -> None:
    images = torch.arange(2 * 3 * 4 * 3, dtype=torch.uint8).view(2, 3, 4, 3)
    padded, zero = zero_padded(images, 0), torch.zeros(2, dtype=torch.int64)
    windows, _ = gather_batch(
        padded,
        zero,
        torch.arange(2),
        zero,
        zero,
        torch.tensor([0, 1]),
        window_offsets(3, 4, 4),
        torch.ones(12),
        zero[:1],
    )
    assert torch.equal(windows[0], images[0].permute(2, 0, 1).float())
    assert torch.equal(windows[1], images[1].flip(1).permute(2, 0, 1).float())


def drawn_crops(padding: int, flip: bool = True) -> torch.Tensor:
    """Index, top, left and flip, [4, N], of three epochs of 20,000 images."""
    split = Split(torch.zeros(20_000, 1, 1, 3, dtype=torch.uint8), torch.zeros(20_000, dtype=torch.int64))
    augmentation = Augmentation(crop_padding=padding, flip=flip)
    blank = make_dataset("blank", ("one", "other"), split, split, (MEAN, STD))
    batches = Batches(blank, augmentation=augmentation, batch_size=20_000, seed=0, device=torch.device("cpu"))
    epochs = []
    for epoch in range(3):
        batches.epoch(epoch)
        epochs.append(batches.drawn(0)[0])
    return torch.cat(epochs, 1)


def test_crops_and_flips_are_uniform_and_independent() -> None:
    index, top, left, flip = drawn_crops(4)
    assert chisquare(top.bincount(minlength=9)).pvalue > 1e-3
    assert chisquare(left.bincount(minlength=9)).pvalue > 1e-3
    assert chisquare(flip.bincount(minlength=2)).pvalue > 1e-3
    joint = torch.bincount((top * 9 + left) * 2 + flip, minlength=162).view(9, 9, 2)
    assert chisquare(joint.flatten()).pvalue > 1e-3
    for table in (joint.sum(2), joint.sum(1), joint.sum(0)):
        assert chi2_contingency(table.numpy()).pvalue > 1e-3
    # Nor do they hang together with which image it is.
    half = (index < 10_000).long()
    for values in (top, left, flip):
        assert chi2_contingency(torch.bincount(values * 2 + half).view(-1, 2).numpy()).pvalue > 1e-3


def test_crops_and_flips_are_distributed_as_torchvisions() -> None:
    _, top, left, flip = drawn_crops(4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        padded = torch.zeros(3, 40, 40)
        theirs = torch.tensor([RandomCrop.get_params(padded, (32, 32))[:2] for _ in range(20_000)])
        ones = torch.tensor([[0.0, 1.0]]).expand(1, 1, 2)
        flipped = torch.tensor([int(RandomHorizontalFlip()(ones)[0, 0, 0]) for _ in range(20_000)])
    for ours, other in ((top, theirs[:, 0]), (left, theirs[:, 1]), (flip, flipped)):
        assert torch.equal(ours.unique(), other.unique())
        counts = torch.stack([ours.bincount(), other.bincount()])
        assert chi2_contingency(counts.numpy()).pvalue > 1e-3


def test_augmentation_can_be_turned_off_without_moving_the_rest() -> None:
    index, top, left, flip = drawn_crops(4)
    unflipped = drawn_crops(4, flip=False)
    assert torch.equal(unflipped, torch.stack([index, top, left, torch.zeros_like(flip)]))
    uncropped = drawn_crops(0)
    assert torch.equal(uncropped[[0, 3]], torch.stack([index, flip]))
    assert not uncropped[1:3].any()


@pytest.mark.parametrize("values", [{"crop_padding": -1}, {"rotate": 10}, {"flip": "often"}])
def test_augmentation_refuses_what_it_does_not_know(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Augmentation(**values)  # type: ignore[arg-type]


def test_augmentation_is_the_papers_and_frozen() -> None:
    assert Augmentation().model_dump(mode="json") == {"crop_padding": 4, "flip": True}
    with pytest.raises(ValidationError):
        Augmentation().flip = False  # type: ignore[misc]


@pytest.mark.parametrize("field", ["size", "resize", "random_resized_crop", "colour_jitter", "rand_augment"])
def test_images_in_memory_are_not_given_what_files_are(field: str) -> None:
    values = {
        "size": {"size": 48},
        "resize": {"size": 32, "resize": 40},
        "random_resized_crop": {"random_resized_crop": (0.25, 1)},
        "colour_jitter": {"colour_jitter": (0.4, 0.4, 0.4, 0.1)},
        "rand_augment": {"rand_augment": (2, 9)},
    }[field]
    augmentation = Augmentation.model_validate({"crop_padding": 0, **values})
    with pytest.raises(
        UserError, match=rf"augmentation\.{field} is for images that are read from their files, and tho"
    ):
        refuse_beyond_memory(augmentation, "noise", 32)
    refuse_beyond_memory(Augmentation(size=32), "noise", 32)
