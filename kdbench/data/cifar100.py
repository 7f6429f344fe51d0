"""`cifar100`: CIFAR-100 from the archive that torchvision knows by its md5."""

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import torch

from kdbench.data.dataset import Dataset, DatasetInfo, DatasetSource, Split, data_root, make_dataset
from kdbench.data.download import NotDownloaded, download
from kdbench.data.known import CIFAR100
from kdbench.inputs.errors import UserError

INFO = DatasetInfo(CIFAR100.name, num_classes=100, input_size=32, train_size=50_000, test_size=10_000)
#: More than the archive has.
MOST_BYTES = 200_000_000


class Cifar100(DatasetSource):
    """50,000 training and 10,000 test images of 100 classes, 32×32.

    The data folder holds the archive or its unpacked folder; where neither is there the archive is downloaded, unless
    the variable KDBENCH_OFFLINE is set.
    """

    name = INFO.name

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return INFO

    def load(self, data_dir: Path | None) -> Dataset:
        root = data_root(data_dir)
        _provide(root)
        # torchvision checks the md5 of both files again before it unpickles them.
        (train, classes), (test, _) = (_split(root, train=part) for part in (True, False))
        return make_dataset(self.name, classes, train, test, CIFAR100.statistics)

    def locations(self, data_dir: Path | None) -> str:
        return "; ".join(f"{place}: {'there' if place.exists() else 'missing'}" for place in _places(data_dir))

    def available(self, data_dir: Path | None) -> bool:
        return any(place.exists() for place in _places(data_dir))


def _places(data_dir: Path | None) -> tuple[Path, Path]:
    """The unpacked folder and the archive."""
    kind, root = _torchvision_class(), data_root(data_dir)
    return root / kind.base_folder, root / kind.filename


def _torchvision_class() -> Any:
    from torchvision.datasets import CIFAR100  # takes a second to import

    return CIFAR100


def _split(root: Path, *, train: bool) -> tuple[Split, tuple[str, ...]]:
    part = _torchvision_class()(root, train=train)
    return Split(torch.from_numpy(part.data).contiguous(), torch.tensor(part.targets)), tuple(part.classes)


def _provide(root: Path) -> None:
    """See to it that the unpacked folder is there and whole."""
    from torchvision.datasets.utils import check_integrity

    kind = _torchvision_class()
    folder = root / kind.base_folder
    if not folder.exists():
        _unpack(root, root / kind.filename)
    for name, md5 in (*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])):
        if not check_integrity(folder / name, md5):
            wrong = f"has not the md5 {md5}" if (folder / name).exists() else "is missing"
            raise UserError(f"CIFAR-100: {folder / name} {wrong}; delete the folder {folder} and run again.")


def _unpack(root: Path, archive: Path) -> None:
    """Unpack the archive, downloaded if it has to be; the folder appears in `root` whole or not at all."""
    from torchvision.datasets.utils import check_integrity, extract_archive

    kind = _torchvision_class()
    if archive.exists() and not check_integrity(archive, kind.tgz_md5):
        raise UserError(
            f"CIFAR-100: {archive} is damaged or incomplete ({archive.stat().st_size:,} bytes, and its md5 is not "
            f"{kind.tgz_md5}); delete it and run again."
        )
    try:
        if not archive.exists():
            _download(root, archive)
        with tempfile.TemporaryDirectory(prefix=".cifar100-", dir=root) as scratch:
            # With tarfile's `data` filter: nothing leaves the folder.
            extract_archive(archive, scratch)
            # Another process may have been faster.
            if not (root / kind.base_folder).exists():
                (Path(scratch) / kind.base_folder).rename(root / kind.base_folder)
    except (OSError, RuntimeError, tarfile.TarError) as error:
        raise UserError(f"CIFAR-100: cannot unpack {archive} ({error}); mend that and run again.") from error


def _download(root: Path, archive: Path) -> None:
    if os.environ.get("KDBENCH_OFFLINE"):
        raise _missing(root, "KDBENCH_OFFLINE forbids the download")
    kind = _torchvision_class()
    try:
        download(kind.url, archive, md5=kind.tgz_md5, most=MOST_BYTES)
    except NotDownloaded as error:
        raise _missing(root, error.reason) from error
    except OSError as error:
        raise _missing(root, f"it cannot be downloaded: {error}") from error


def _missing(root: Path, reason: str) -> UserError:
    kind = _torchvision_class()
    return UserError(
        f"CIFAR-100 is not in {root} ({reason}); put {kind.filename} (md5 {kind.tgz_md5}) there and run again."
    )
