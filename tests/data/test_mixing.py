"""Soft labels: label smoothing against PyTorch's own, mixup and cutmix against their definitions."""

import pytest
import torch
from scipy.stats import beta, kstest
from torch.nn.functional import cross_entropy

from kdbench.data.augment import Augmentation
from kdbench.data.mixing import Mixing

CPU = torch.device("cpu")
K = 5


def mixing(*, smoothing: float = 0.0, mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0) -> Mixing:
    return Mixing(Augmentation(mixup=mixup, cutmix=cutmix), smoothing, K, ("noise", seed), CPU)


def batch(size: int = 6, side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, side, side, generator=generator).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(K, (size,), generator=generator)


def test_smoothed_labels_are_pytorchs() -> None:
    images, labels = batch()
    same, soft = mixing(smoothing=0.1)(images, labels)
    assert same is images
    logits = torch.randn(6, K, generator=torch.Generator().manual_seed(1))
    expected = cross_entropy(logits.double(), labels, label_smoothing=0.1)
    torch.testing.assert_close(cross_entropy(logits.double(), soft.double()), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_images_and_labels_are_mixed_alike(how: str) -> None:
    """Images that are their classes' one-hot vectors everywhere: the mixed one's mean is the mixed label."""
    made = mixing(mixup=0.8) if how == "mixup" else mixing(cutmix=1.0)
    labels = torch.tensor([0, 1, 2])
    images = torch.eye(3)[:, :, None, None].expand(3, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    for step in range(20):
        made.seek(1, step)
        mixed, soft = made(images, labels)
        torch.testing.assert_close(mixed.mean((2, 3)), soft[:, :3])
        torch.testing.assert_close(soft.sum(1), torch.ones(3))
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        share = soft[0, 0]
        assert soft[0, 2] == pytest.approx(1 - float(share), abs=1e-6)  # its partner is the last
        values = mixed[0, 0].unique()
        if how == "mixup":
            torch.testing.assert_close(mixed, share * images + (1 - share) * images[[2, 0, 1]])
        else:
            assert set(values.tolist()) <= {0.0, 1.0}
            rows, columns = (mixed[0, 0] == 0).nonzero(as_tuple=True)
            if len(rows):  # a box, of the area that is not the image's own
                height, width = (int(places.max() - places.min()) + 1 for places in (rows, columns))
                assert height * width == len(rows) == round((1 - float(share)) * 256)


def test_shares_follow_their_distribution() -> None:
    made = mixing(mixup=0.8)
    images, labels = batch(2, 1)[0], torch.tensor([0, 1])
    shares = []
    for step in range(400):
        made.seek(3, step)
        shares.append(float(made(images, labels)[1][0, 0]))
    assert kstest(shares, beta(0.8, 0.8).cdf).pvalue > 1e-3


def test_a_batch_gets_one_of_both_by_a_coin() -> None:
    made = mixing(mixup=0.8, cutmix=1.0)
    images, labels = batch()
    boxes = 0
    for step in range(200):
        made.seek(1, step)
        own = (made(images, labels)[0] == images).float().mean()
        boxes += bool(own > 0)  # mixup leaves no pixel as it is
    assert 60 < boxes < 140


def test_what_is_drawn_follows_from_data_seed_epoch_and_step() -> None:
    images, labels = batch()

    def drawn(seed: int, epoch: int, step: int) -> torch.Tensor:
        made = mixing(mixup=1.0, seed=seed)
        made.seek(epoch, step)
        return made(images, labels)[0]

    assert torch.equal(drawn(0, 1, 2), drawn(0, 1, 2))
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        assert not torch.equal(drawn(*other), drawn(0, 1, 2))


def test_a_batch_of_one_stays_itself() -> None:
    images, labels = batch(1)
    made = mixing(mixup=1.0)
    made.seek(1, 0)
    mixed, soft = made(images, labels)
    torch.testing.assert_close(mixed, images)
    assert soft.argmax() == labels[0] and soft.max() == pytest.approx(1)
