"""One data set through every door, with a tiny set in the place of the real one: its images may not be shipped."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.client import BadStatusLine
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from kdbench.data import Dataset, DatasetInfo, Folder, Parquet, Split
from kdbench.data import cifar100_files as files
from kdbench.data import dataset as datasets
from kdbench.data import download as downloads
from kdbench.data.cifar100 import OFFICIAL, Cifar100, Official
from kdbench.data.cifar100_classes import COARSE, COARSE_OF_FINE, FINE
from kdbench.data.known import CIFAR100, Known
from kdbench.data.resemblance import fingerprint
from kdbench.data.split import content_checksum
from kdbench.inputs.errors import UserError
from tests.data.support import png, random_split, write_split

FOLDER, ARCHIVE = "cifar-100-python", "cifar-100-python.tar.gz"
BINARY, BINARY_ARCHIVE = "cifar-100-binary", "cifar-100-binary.tar.gz"
TRAIN, TEST = random_split(6, 32, classes=4), random_split(4, 32, classes=4)


def coarse(split: Split) -> Split:
    return Split(split.images, split.labels // 2)


def planes(split: Split) -> np.ndarray:
    return split.images.permute(0, 3, 1, 2).reshape(len(split.labels), -1).numpy()


def pickled(split: Split) -> bytes:
    return pickle.dumps({"data": planes(split), "fine_labels": split.labels.tolist()}, protocol=2)


def binary(split: Split) -> bytes:
    labels = torch.stack([coarse(split).labels, split.labels], 1).to(torch.uint8).numpy()
    return np.concatenate([labels, planes(split)], 1).tobytes()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


TINY = Official(
    Known(
        "cifar100",
        "CIFAR-100",
        32,
        ("ant", "bee", "cat", "dog"),
        CIFAR100.statistics,
        content_checksum(TRAIN, TEST),
        fingerprint(TRAIN, coarse(TRAIN)),
        fingerprint(TEST, coarse(TEST)),
    ),
    "https://nowhere.invalid/cifar-100-python.tar.gz",
    "",
    (md5(pickled(TRAIN)), md5(pickled(TEST))),
)
SOURCE = Cifar100(TINY)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDBENCH_OFFLINE", "1")
    monkeypatch.setattr(datasets, "KNOWN", (TINY.known,))
    monkeypatch.setattr(datasets, "known_by", {TINY.known.checksum: TINY.known}.get)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def python_folder(place: Path, train: Split = TRAIN, test: Split = TEST) -> Path:
    place.mkdir(exist_ok=True)
    for name, split in (("train", train), ("test", test)):
        (place / name).write_bytes(pickled(split))
    return place


def binary_folder(place: Path, train: Split = TRAIN, test: Split = TEST) -> Path:
    place.mkdir(exist_ok=True)
    for name, split in (("train.bin", train), ("test.bin", test)):
        (place / name).write_bytes(binary(split))
    return place


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def python_archive(root: Path, train: Split = TRAIN, test: Split = TEST) -> Path:
    contents = {f"{FOLDER}/file.txt~": b"", f"{FOLDER}/train": pickled(train), f"{FOLDER}/test": pickled(test)}
    return archive(root / ARCHIVE, contents)


def binary_archive(root: Path, train: Split = TRAIN, test: Split = TEST) -> Path:
    return archive(root / BINARY_ARCHIVE, {f"{BINARY}/train.bin": binary(train), f"{BINARY}/test.bin": binary(test)})


def parquet(
    place: Path, train: Split = TRAIN, test: Split = TEST, columns: tuple[str, str] = ("img", "fine_label")
) -> Path:
    write_split(place / "train-00000-of-00001.parquet", train, columns=columns)
    write_split(place / "test-00000-of-00001.parquet", test, columns=columns)
    return place


DOORS: dict[str, Callable[[Path], Path]] = {
    "python folder": lambda root: python_folder(root / FOLDER),
    "python files": lambda root: python_folder(root),
    "python archive": python_archive,
    "binary folder": lambda root: binary_folder(root / BINARY),
    "binary files": lambda root: binary_folder(root),
    "binary archive": binary_archive,
    "parquet": lambda root: parquet(root),
    "parquet, data": lambda root: parquet(root / "data").parent,
    "parquet, own folder": lambda root: parquet(root / "cifar100", columns=("image", "label")),
    "parquet, configuration": lambda root: parquet(root / "cifar100" / "cifar100").parent,
}


def check_loaded(dataset: Dataset) -> None:
    assert dataset.info == SOURCE.info(None) == DatasetInfo("cifar100", 4, 32, 6, 4, TINY.known.checksum)
    assert dataset.classes == TINY.known.classes
    assert (dataset.mean, dataset.std) == CIFAR100.statistics == ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
    for got, expected in ((dataset.train, TRAIN), (dataset.test, TEST)):
        assert torch.equal(got.images, expected.images) and torch.equal(got.labels, expected.labels)
        assert got.images.is_contiguous()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(root: Path, source: Cifar100 = SOURCE) -> str:
    """The sentence with which what lies there is refused; nothing there changes."""
    before = contents(root.parent)
    with pytest.raises(UserError) as error:
        source.load(root)
    assert contents(root.parent) == before
    return str(error.value)


@pytest.mark.parametrize("door", DOORS)
def test_every_door_leads_to_the_same_data_and_nothing_is_written(root: Path, door: str) -> None:
    place = DOORS[door](root)
    before = contents(root)
    dataset = SOURCE.load(root)
    check_loaded(dataset)
    assert dataset.notes == (f"read from {place}",)
    assert contents(root) == before
    assert SOURCE.available(root) and SOURCE.locations(root) == f"{place}: there"


def test_content_is_the_data_set_whatever_the_folder_is_called(root: Path) -> None:
    check_loaded(Parquet().with_argument(str(parquet(root / "mine"))).load(None))
    for which, split in (("train", TRAIN), ("test", TEST)):
        for number, (image, label) in enumerate(zip(split.images.numpy(), split.labels.tolist(), strict=True)):
            # Images of a class come in the order of their names, so classes out of order cannot be CIFAR-100's.
            place = root / "folder" / which / f"{label}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.png").write_bytes(png(image))
    other = Folder().with_argument(str(root / "folder")).load(None)
    assert other.info.name == f"folder@{other.checksum[:8]}"
    assert "has CIFAR-100's images and labels in another order" in other.notes[1]


def changed(split: Split, pixel: int = 0, label: int = 0) -> Split:
    images, labels = split.images.clone(), split.labels.clone()
    images[1, 2, 3, 0] += pixel
    labels[2] = (labels[2] + label) % 4
    return Split(images, labels)


UNLIKE = {
    "another order": ((Split(TRAIN.images.flip(0), TRAIN.labels.flip(0)), TEST), "images and labels in another order"),
    "one pixel": ((changed(TRAIN, pixel=1), TEST), "CIFAR-100's labels with other pixels"),
    "one label": ((TRAIN, changed(TEST, label=1)), "CIFAR-100's images with other labels"),
    "coarse": (
        (coarse(TRAIN), coarse(TEST)),
        "CIFAR-100's images with the coarse labels in the place of the fine ones",
    ),
    "one split": ((TRAIN, random_split(5, 32, classes=4)), "the test split is not CIFAR-100's"),
    "swapped": (
        (random_split(8, 32, classes=4), TEST),
        "the training split is not CIFAR-100's; the test split is CIFAR-100's",
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_nearly_the_data_set_is_told_apart(root: Path, name: str) -> None:
    splits, said = UNLIKE[name]
    parquet(root, *splits)
    assert f"{root} is not CIFAR-100: " in (sentence := refusal(root)) and said in sentence
    dataset = Parquet().with_argument(str(root)).load(None)
    assert dataset.info.name == f"data@{dataset.checksum[:8]}" and (dataset.mean, dataset.std) != CIFAR100.statistics
    assert any("this is not CIFAR-100, and published numbers" in note and said in note for note in dataset.notes)


def test_data_of_their_own_are_said_to_have_nothing_of_it(root: Path) -> None:
    binary_folder(root, TEST, TRAIN)
    assert "bytes are not 6 images with two labels each" in refusal(root)
    parquet(root / "cifar100", random_split(9, 8), random_split(5, 8))
    for name in ("train.bin", "test.bin"):
        (root / name).unlink()
    assert "neither split has anything of it" in refusal(root)


def test_one_split_alone_is_refused(root: Path) -> None:
    place = parquet(root)
    (place / "test-00000-of-00001.parquet").unlink()
    assert "no train*.parquet with a test*.parquet" in refusal(root)


@pytest.mark.parametrize("door", ["python folder", "binary folder"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_folder_without_one_of_its_files_is_named(root: Path, door: str, which: int) -> None:
    place = DOORS[door](root)
    gone = sorted(place.iterdir())[which]
    gone.unlink()
    assert refusal(root) == (
        f"CIFAR-100: {place}: {gone.name} cannot be read (No such file or directory); mend it or delete it, and run "
        "again."
    )


@pytest.mark.parametrize("door", ["python folder", "binary folder", "python archive", "binary archive", "parquet"])
@pytest.mark.parametrize("length", [0, 50, -1])
def test_damaged_files_are_named_and_left_alone(root: Path, door: str, length: int) -> None:
    place = DOORS[door](root)
    file = place if place.is_file() else sorted(place.iterdir())[0]
    file.write_bytes(file.read_bytes()[:length])
    assert str(place) in refusal(root)


def test_info_and_places_need_no_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cifar100().info(root) == DatasetInfo("cifar100", 100, 32, 50_000, 10_000, CIFAR100.checksum)
    assert not Cifar100().available(root)
    assert "missing; put one of these" in Cifar100().locations(root)
    python_folder(root)
    monkeypatch.setenv("KDBENCH_DATA", str(root))
    check_loaded(SOURCE.load(None))


def test_coarse_classes_follow_from_the_fine_ones() -> None:
    assert len(FINE) == len(set(FINE)) == 100 and list(COARSE) == sorted(COARSE) and len(COARSE) == 20
    assert all(names == tuple(sorted(names)) and len(names) == 5 for names in COARSE.values())
    assert [list(COARSE)[COARSE_OF_FINE[FINE.index(name)]] for name in ("apple", "worm", "train")] == [
        "fruit_and_vegetables",
        "non-insect_invertebrates",
        "vehicles_1",
    ]


class Executes:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


def test_a_batch_that_would_execute_is_not_executed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    evil = pickle.dumps({"data": Executes(), "fine_labels": []}, protocol=2)
    python_folder(root / FOLDER)
    (root / FOLDER / "train").write_bytes(evil)
    assert f"a batch has not the md5 {TINY.batch_md5s[0]} but {md5(evil)}" in refusal(root)
    trusted = Cifar100(replace(TINY, batch_md5s=(md5(evil), TINY.batch_md5s[1])))
    assert "a batch cannot be unpickled (it asks for posix.mkdir)" in refusal(root, trusted)
    assert not (root / "executed").exists()


@pytest.mark.parametrize("batch", [{}, [], {"data": np.zeros((6, 9), np.uint8), "fine_labels": [0] * 6}])
def test_a_batch_of_another_kind_is_refused(root: Path, batch: object) -> None:
    data = pickle.dumps(batch, protocol=2)
    with pytest.raises(files.Unreadable, match=r"a batch (cannot be unpickled|does not hold 6 images)"):
        files.from_pickle(data, 6, md5(data))


CLIMBING = [("../evil", ""), (f"{FOLDER}/../../evil", ""), ("up", ".."), ("etc", "/etc"), (f"{FOLDER}/train", "test")]


@pytest.mark.parametrize(("name", "link"), CLIMBING)
def test_nothing_of_an_archive_is_unpacked(root: Path, name: str, link: str) -> None:
    """Whatever its members are called and point to: two are read in memory, and must be files."""
    with tarfile.open(root / ARCHIVE, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        tar.addfile(member)
        for batch, split in (("train", TRAIN), ("test", TEST)):
            if name != f"{FOLDER}/{batch}":
                member, data = tarfile.TarInfo(f"{FOLDER}/{batch}"), pickled(split)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    if name == f"{FOLDER}/train":
        assert f"it has no file {FOLDER}/train" in refusal(root)
    else:
        before = contents(root.parent)
        check_loaded(SOURCE.load(root))
        assert contents(root.parent) == before


def test_an_archive_that_unpacks_to_more_than_it_has_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10**6)
    (root / ARCHIVE).write_bytes(gzip.compress(bytes(10**7)))
    assert "it unpacks to more than 1,000,000 bytes" in refusal(root)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Cifar100]]:
    """An archive, served on this machine, and a source that asks for it."""
    place = tmp_path / "server"
    place.mkdir()
    path = python_archive(place)
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    # The server speaks no https.
    monkeypatch.setattr(downloads, "SCHEMES", (urllib.request.HTTPHandler,))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("KDBENCH_OFFLINE")
    url = f"http://127.0.0.1:{http.server_port}/{ARCHIVE}"
    yield path, Cifar100(replace(TINY, url=url, archive_md5=md5(path.read_bytes())))
    http.shutdown()
    http.server_close()


def test_missing_data_are_downloaded(server: tuple[Path, Cifar100], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    check_loaded(server[1].load(folder))
    assert list(contents(folder)) == [ARCHIVE]


@pytest.mark.parametrize("length", [None, 50])
def test_failed_download_names_every_door(server: tuple[Path, Cifar100], root: Path, length: int | None) -> None:
    path, source = server
    path.write_bytes(path.read_bytes()[:length])
    if length is None:
        path.unlink()
    sentence = refusal(root, source)
    assert sentence.startswith(f"CIFAR-100 is not in {root} (http://127.0.0.1:")
    reason = "cannot be downloaded: HTTP Error 404" if length is None else "gave a file whose md5 is"
    doors = (ARCHIVE, source.official.archive_md5, BINARY_ARCHIVE, "train*.parquet")
    assert reason in sentence and all(door in sentence for door in doors)
    assert not contents(root)


@pytest.mark.parametrize("error", [OSError("unreachable"), BadStatusLine("nonsense")])
def test_network_errors_end_in_the_same_advice(
    server: tuple[Path, Cifar100], root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", fail)
    sentence = refusal(root, server[1])
    assert f"cannot be downloaded: {error}" in sentence and f"put one of these into {root}: {ARCHIVE}" in sentence


def test_offline_nothing_is_downloaded(root: Path) -> None:
    assert f"CIFAR-100 is not in {root} (KDBENCH_OFFLINE forbids the download); put one" in refusal(root)


def test_folder_that_cannot_be_written_is_named(server: tuple[Path, Cifar100], root: Path) -> None:
    (root / "file").touch()
    with pytest.raises(UserError, match=rf"CIFAR-100 is not in {root / 'file'} "):
        server[1].load(root / "file")


def test_a_folder_that_may_not_be_entered_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", denied)
    for ask in (SOURCE.load, SOURCE.locations, SOURCE.available):
        with pytest.raises(UserError, match=rf"{root}/train cannot be looked for \(Permission denied\); mend that"):
            ask(root)


def test_what_is_downloaded_is_what_torchvision_knows() -> None:
    from torchvision.datasets import CIFAR100 as THEIRS

    md5s = (THEIRS.train_list[0][1], THEIRS.test_list[0][1])
    assert (OFFICIAL.url, OFFICIAL.archive_md5, OFFICIAL.batch_md5s) == (THEIRS.url, THEIRS.tgz_md5, md5s)


GENUINE = os.environ.get("KDBENCH_CIFAR100")


@pytest.mark.skipif(not GENUINE, reason="KDBENCH_CIFAR100 names no folder of it")
def test_the_genuine_data_set_is_known() -> None:
    dataset = Cifar100().load(Path(str(GENUINE)))
    assert dataset.checksum == CIFAR100.checksum and dataset.info == Cifar100().info(None)
    coarse_labels = torch.tensor(COARSE_OF_FINE)
    for split, known in ((dataset.train, CIFAR100.train), (dataset.test, CIFAR100.test)):
        assert fingerprint(split, Split(split.images, coarse_labels[split.labels])) == known
