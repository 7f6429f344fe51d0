"""`digits`: scikit-learn's bundled handwritten digits, which need no download."""

from pathlib import Path

import torch

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, Split, make_dataset
from kdbench.data.stratified import stratified

INFO = DatasetInfo("digits", num_classes=10, input_size=8, train_size=1000, test_size=797)


class Digits(DatasetSource):
    """1,797 grey 8×8 images of 10 classes, in a fixed stratified split."""

    name = INFO.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return INFO

    def load(self, data_dir: Path | None) -> Dataset:
        from sklearn.datasets import load_digits  # takes a second to import

        bundle = load_digits()
        grey = torch.from_numpy(bundle.images).to(torch.int64)
        # From 0..16 to 0..255, rounded to the nearest.
        images = ((grey * 255 + 8) // 16).to(torch.uint8)[..., None].repeat(1, 1, 1, 3)
        labels = torch.from_numpy(bundle.target).to(torch.int64)
        train, test = (torch.tensor(part) for part in stratified(labels.tolist(), INFO.train_size))
        return make_dataset(
            self.name,
            tuple(str(digit) for digit in range(10)),
            Split(images[train], labels[train]),
            Split(images[test], labels[test]),
        )

    def locations(self, data_dir: Path | None) -> str:
        return "comes with scikit-learn"
