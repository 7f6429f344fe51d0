import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdbench.data import BUILTIN_SOURCES, DatasetSource, Split, make_dataset, resolve_dataset
from kdbench.data.dataset import channel_statistics, data_root
from kdbench.data.split import content_checksum
from kdbench.inputs.errors import UserError
from tests.data.support import random_split

SOURCES: dict[str, DatasetSource] = {source.name: source for source in BUILTIN_SOURCES}
CLASSES = tuple("abcde")


def test_builtin_sources_are_found_by_name() -> None:
    assert sorted(SOURCES) == [
        "allow_empty",
        "cifar100",
        "cluttered_digits",
        "cub200",
        "digits",
        "folder",
        "holdout",
        "imagefolder",
        "imagenet",
        "parquet",
        "tiny_imagenet",
    ]
    assert resolve_dataset("digits", SOURCES) is SOURCES["digits"]
    assert resolve_dataset("CIFAR100", SOURCES) is SOURCES["cifar100"]


def test_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r"unknown dataset 'cifar10'; did you mean 'cifar100'\?.*kdbench list datasets"):
        resolve_dataset("cifar10", SOURCES)
    with pytest.raises(UserError, match="unknown dataset 'images'"):
        resolve_dataset("images:somewhere", SOURCES)


def test_argument_goes_to_the_scheme_only() -> None:
    assert resolve_dataset("parquet:a:b", SOURCES).name == "parquet:a:b"
    with pytest.raises(UserError, match="'digits' takes no argument, but got 'x'"):
        resolve_dataset("digits:x", SOURCES)


def test_data_root_prefers_the_argument_then_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDBENCH_DATA", "/somewhere")
    assert data_root(Path("/else")) == Path("/else")
    assert data_root(None) == Path("/somewhere")
    monkeypatch.delenv("KDBENCH_DATA")
    assert data_root(None) == Path.home() / ".cache/kdbench/data"


@given(st.integers(1, 40), st.integers(1, 6))
def test_channel_statistics_agree_with_numpy(size: int, side: int) -> None:
    images = random_split(size, side).images
    mean, std = channel_statistics(images)
    pixels = images.numpy().reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, pixels.mean(0), atol=1e-12)
    np.testing.assert_allclose(std, pixels.std(0), atol=1e-12)


def test_channel_statistics_see_every_part_and_not_the_order() -> None:
    images = random_split(5000, 2).images
    assert channel_statistics(images) == channel_statistics(images.flip(0))
    np.testing.assert_allclose(channel_statistics(images)[0], images.double().mean((0, 1, 2)) / 255, atol=1e-12)


def test_make_dataset_computes_what_is_not_given() -> None:
    train, test = random_split(10, 4), random_split(6, 4)
    dataset = make_dataset("noise", CLASSES, train, test)
    assert (dataset.info.name, dataset.info.num_classes, dataset.info.input_size) == ("noise", 5, 4)
    assert (dataset.info.train_size, dataset.info.test_size) == (10, 6)
    assert (dataset.mean, dataset.std) == channel_statistics(train.images)
    given = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (lambda d: (d.mean, d.std))(make_dataset("noise", CLASSES, train, test, given)) == given


def test_checksum_is_that_of_the_content() -> None:
    train, test = random_split(4, 2), random_split(3, 2)
    expected = hashlib.sha256()
    for split in (train, test):
        expected.update(repr(tuple(split.images.shape)).encode())
        expected.update(split.images.numpy().tobytes() + split.labels.numpy().tobytes())
    assert content_checksum(train, test) == expected.hexdigest()
    # Neither name nor memory layout matter; any pixel or label does.
    strided = Split(train.images.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0), train.labels)
    assert make_dataset("other", CLASSES, strided, test).checksum == expected.hexdigest()
    pixel = train.images.clone()
    pixel[3, 1, 1, 2] ^= 1
    assert content_checksum(Split(pixel, train.labels), test) != expected.hexdigest()
    assert content_checksum(Split(train.images, train.labels.flip(0)), test) != expected.hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(10, 4, 4, 3)}, r"train images are torch.float32"),
        (
            {"images": torch.zeros(10, 4, 5, 3, dtype=torch.uint8)},
            r"train images are .* must be torch.uint8 \[10, 4, 4, 3\]",
        ),
        ({"images": torch.zeros(9, 4, 4, 3, dtype=torch.uint8)}, r"train images are torch.uint8 \[9, 4, 4, 3\]"),
        ({"labels": torch.zeros(10)}, r"train labels are torch.float32"),
        ({"labels": torch.full((10,), 5)}, r"train labels are from 5 to 5, but must be within 0..4"),
        ({"labels": torch.arange(10) % 5 - 1}, r"train labels are from -1 to 3"),
    ],
)
def test_split_that_contradicts_the_info_is_refused(change: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(UserError, match="data set 'noise': " + message):
        make_dataset(
            "noise", CLASSES, replace(random_split(10, 4), **change), random_split(6, 4), ((0.5,) * 3, (0.5,) * 3)
        )


def test_other_contradictions_are_refused() -> None:
    train, test = random_split(10, 4), random_split(6, 4)
    with pytest.raises(UserError, match=r"test images are .* must be"):
        make_dataset("noise", CLASSES, train, random_split(6, 5))
    with pytest.raises(UserError, match="test images are none, but must be at least one"):
        make_dataset("noise", CLASSES, train, random_split(0, 4))
    with pytest.raises(UserError, match="constant"):
        make_dataset("noise", CLASSES, replace(train, images=torch.zeros_like(train.images)), test)
    dataset = make_dataset("noise", CLASSES, train, test)
    with pytest.raises(UserError, match="classes are 4 names, but must be 5"):
        replace(dataset, classes=CLASSES[:4])


def test_split_moves_to_a_device() -> None:
    moved = random_split(2, 2).to(torch.device("meta"))
    assert moved.images.device.type == moved.labels.device.type == "meta"
