"""`digits`: scikit-learn's bundled handwritten digits, which need no download."""

from pathlib import Path

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, make_dataset
from kdbench.data.split import Split
from kdbench.data.stratified import stratified
from kdbench.inputs.errors import UserError

INFO = DatasetInfo(
    "digits",
    num_classes=10,
    input_size=8,
    train_size=1000,
    test_size=797,
    checksum="58a253cdc111dfa97b1e1a6ffad54b969347fb064bf236ff237fff17c262e2ef",
)


class Digits(DatasetSource):
    """1,797 grey 8×8 images of 10 classes, in a fixed stratified split."""

    name = INFO.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return INFO

    def load(self, data_dir: Path | None) -> Dataset:
        import torch
        from sklearn.datasets import load_digits  # takes a second to import

        bundle = load_digits()
        grey = torch.from_numpy(bundle.images).to(torch.int64)
        # From 0..16 to 0..255, rounded to the nearest.
        images = ((grey * 255 + 8) // 16).to(torch.uint8)[..., None].repeat(1, 1, 1, 3)
        labels = torch.from_numpy(bundle.target).to(torch.int64)
        train, test = (torch.tensor(part) for part in stratified(labels.tolist(), INFO.train_size))
        dataset = make_dataset(
            self.name,
            tuple(str(digit) for digit in range(10)),
            Split(images[train], labels[train]),
            Split(images[test], labels[test]),
        )
        if dataset.checksum != INFO.checksum:
            raise UserError("scikit-learn's digits are not those that kdbench knows; install another version of it.")
        return dataset

    def locations(self, data_dir: Path | None) -> str:
        return "comes with scikit-learn"
