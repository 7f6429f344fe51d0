import numpy as np
import torch
from sklearn.datasets import load_digits

from kdbench.data.digits import INFO, Digits


def test_load_agrees_with_info_and_with_scikit_learn() -> None:
    source = Digits()
    dataset = source.load(None)
    assert dataset.info == source.info(None) == INFO
    assert source.locations(None) == "comes with scikit-learn"
    assert dataset.classes == tuple("0123456789")
    images = torch.cat([dataset.train.images, dataset.test.images])
    labels = torch.cat([dataset.train.labels, dataset.test.labels])
    bundle = load_digits()
    # Every bundled image is in exactly one split, with its label, within half a grey level.
    ours = sorted(zip(map(bytes, images[..., 0].numpy()), labels.tolist(), strict=True))
    scaled = np.floor(bundle.images * 255 / 16 + 0.5).astype(np.uint8)
    assert ours == sorted(zip(map(bytes, scaled), bundle.target.tolist(), strict=True))
    assert (images == images[..., :1]).all()
    assert images.max() == 255


def test_split_is_fixed_and_stratified() -> None:
    dataset = Digits().load(None)
    shares = dataset.train.labels.bincount() / (dataset.train.labels.bincount() + dataset.test.labels.bincount())
    assert ((shares - 1000 / 1797).abs() < 0.01).all()
    assert dataset.checksum == Digits().load(None).checksum
    # Changes only when every old result on digits is to be thrown away.
    assert dataset.checksum == "58a253cdc111dfa97b1e1a6ffad54b969347fb064bf236ff237fff17c262e2ef"


def test_statistics_are_those_of_the_training_images() -> None:
    dataset = Digits().load(None)
    pixels = dataset.train.images.double() / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean((0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(dataset.std, pixels.std((0, 1, 2), correction=0), atol=1e-9)
