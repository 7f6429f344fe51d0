import hashlib
import pickle
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.client import BadStatusLine
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets

from kdbench.data import DatasetInfo
from kdbench.data import cifar100 as module
from kdbench.data import download as downloads
from kdbench.data.cifar100 import INFO, Cifar100
from kdbench.data.known import CIFAR100
from kdbench.inputs.errors import UserError

FOLDER, ARCHIVE = "cifar-100-python", "cifar-100-python.tar.gz"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder, served on this machine, with a tiny archive that torchvision's class is told to expect."""
    place = tmp_path / "server"
    (place / FOLDER).mkdir(parents=True)
    for name, size in (("train", 6), ("test", 4)):
        pixels = np.random.default_rng(size).integers(0, 256, (size, 3072), dtype=np.uint8)
        content = {"data": pixels, "fine_labels": [i % 3 for i in range(size)]}
        (place / FOLDER / name).write_bytes(pickle.dumps(content))
    (place / FOLDER / "meta").write_bytes(pickle.dumps({"fine_label_names": ["ant", "bee", "cat"]}))
    with tarfile.open(place / ARCHIVE, "w:gz") as archive:
        archive.add(place / FOLDER, FOLDER)

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(place)))
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()

    class Tiny(torchvision.datasets.CIFAR100):  # type: ignore[misc]
        url = f"http://127.0.0.1:{http.server_port}/{ARCHIVE}"
        tgz_md5 = md5(place / ARCHIVE)
        train_list = [["train", md5(place / FOLDER / "train")]]
        test_list = [["test", md5(place / FOLDER / "test")]]
        meta = {"filename": "meta", "key": "fine_label_names", "md5": md5(place / FOLDER / "meta")}

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", Tiny)
    # The server speaks no https.
    monkeypatch.setattr(downloads, "SCHEMES", (urllib.request.HTTPHandler,))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("KDBENCH_OFFLINE", raising=False)
    yield place
    http.shutdown()
    http.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def put(source: Path, target: Path, length: int | None = None) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes()[:length])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_info_needs_no_data(tmp_path: Path) -> None:
    assert Cifar100().info(tmp_path) == DatasetInfo("cifar100", 100, 32, 50_000, 10_000)


def check_loaded(dataset: Any, server: Path) -> None:
    assert dataset.info == DatasetInfo("cifar100", 3, 32, 6, 4)
    assert dataset.classes == ("ant", "bee", "cat")
    assert (dataset.mean, dataset.std) == CIFAR100.statistics == ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
    raw = pickle.loads((server / FOLDER / "train").read_bytes())
    planes = torch.from_numpy(raw["data"]).view(6, 3, 32, 32)
    assert torch.equal(dataset.train.images, planes.permute(0, 2, 3, 1))
    assert dataset.train.images.is_contiguous()
    assert dataset.train.labels.tolist() == raw["fine_labels"]
    assert dataset.test.labels.tolist() == [0, 1, 2, 0]


def test_archive_is_unpacked_once(server: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(server / ARCHIVE, root / ARCHIVE)
    monkeypatch.setenv("KDBENCH_OFFLINE", "1")
    check_loaded(Cifar100().load(root), server)
    assert sorted(path.name for path in root.iterdir()) == [FOLDER, ARCHIVE]
    (root / ARCHIVE).unlink()
    check_loaded(Cifar100().load(root), server)


def test_variable_names_the_folder(server: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(server / ARCHIVE, root / ARCHIVE)
    monkeypatch.setenv("KDBENCH_DATA", str(root))
    check_loaded(Cifar100().load(None), server)


def test_missing_data_are_downloaded_whole_or_not_at_all(server: Path, tmp_path: Path) -> None:
    check_loaded(Cifar100().load(tmp_path / "new" / "folder"), server)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [FOLDER, ARCHIVE]


@pytest.mark.parametrize("length", [None, 50])
def test_failed_download_says_which_file_goes_where(server: Path, root: Path, length: int | None) -> None:
    expected = md5(server / ARCHIVE)
    put(server / ARCHIVE, server / ARCHIVE, length)
    if length is None:
        (server / ARCHIVE).unlink()
    reason = rf"http://[^ ;]*/{ARCHIVE} (cannot be downloaded: HTTP Error 404[^;]*|gave a file whose md5 is [^;]*)"
    message = rf"^CIFAR-100 is not in {root} \({reason}\); put {ARCHIVE} \(md5 {expected}\) there and run again\.$"
    with pytest.raises(UserError, match=message):
        Cifar100().load(root)
    assert not contents(root)


@pytest.mark.parametrize("error", [OSError("unreachable"), BadStatusLine("nonsense")])
def test_network_errors_end_in_the_same_advice(
    server: Path, root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", fail)
    with pytest.raises(UserError, match=rf"cannot be downloaded.*{error}.*; put {ARCHIVE}"):
        Cifar100().load(root)


def test_offline_nothing_is_downloaded(server: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDBENCH_OFFLINE", "1")
    with pytest.raises(UserError, match=rf"CIFAR-100 is not in {root} \(KDBENCH_OFFLINE .*put {ARCHIVE}"):
        Cifar100().load(root)
    assert not contents(root)


@pytest.mark.parametrize("length", [0, 50, -1])
def test_damaged_archive_is_named_and_left_alone(server: Path, root: Path, length: int) -> None:
    put(server / ARCHIVE, root / ARCHIVE, length)
    before = contents(root)
    with pytest.raises(UserError, match=rf"{root / ARCHIVE} is damaged or incomplete .* delete it and run again"):
        Cifar100().load(root)
    assert contents(root) == before


@pytest.mark.parametrize("name", ["train", "test", "meta"])
@pytest.mark.parametrize("length", [None, 20])
def test_damaged_folder_is_named_and_left_alone(server: Path, root: Path, name: str, length: int | None) -> None:
    put(server / ARCHIVE, root / ARCHIVE)
    for other in ("train", "test", "meta"):
        put(server / FOLDER / other, root / FOLDER / other)
    put(server / FOLDER / name, root / FOLDER / name, length)
    if length is None:
        (root / FOLDER / name).unlink()
    before = contents(root)
    wrong = "is missing" if length is None else "has not the md5"
    with pytest.raises(UserError, match=rf"{root / FOLDER / name} {wrong}.*delete the folder {root / FOLDER} and run"):
        Cifar100().load(root)
    assert contents(root) == before


def test_damaged_files_are_never_unpickled(server: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(server / ARCHIVE, root / ARCHIVE, 100)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(UserError):
        Cifar100().load(root)


def test_folder_that_cannot_be_written_is_named(server: Path, root: Path) -> None:
    (root / "file").touch()
    with pytest.raises(UserError, match=rf"CIFAR-100 is not in {root / 'file'} "):
        Cifar100().load(root / "file")


def test_unpacking_that_fails_names_the_archive(server: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(server / ARCHIVE, root / ARCHIVE)

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("torchvision.datasets.utils.extract_archive", full)
    with pytest.raises(UserError, match=rf"cannot unpack {root / ARCHIVE} \(No space left on device\)"):
        Cifar100().load(root)
    assert list(contents(root)) == [ARCHIVE]


def climbing(path: Path, name: str, link: str = "") -> None:
    """An archive with a file, or a link to `link` and a file behind it."""
    with tarfile.open(path, "w:gz") as archive:
        if link:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
            name = f"{name}/evil"
        archive.addfile(tarfile.TarInfo(name))


CLIMBING = [("../evil", ""), (f"{FOLDER}/../../evil", ""), ("up", ".."), ("etc", "/etc")]


@pytest.mark.parametrize(("name", "link"), CLIMBING)
def test_an_archive_that_climbs_is_not_unpacked(server: Path, root: Path, name: str, link: str) -> None:
    climbing(root / ARCHIVE, name, link)
    before = contents(root.parent)
    with pytest.raises(UserError, match="is damaged or incomplete"):
        Cifar100().load(root)
    assert contents(root.parent) == before


@pytest.mark.parametrize(("name", "link"), CLIMBING)
def test_not_even_with_the_right_checksum(
    server: Path, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, link: str
) -> None:
    climbing(root / ARCHIVE, name, link)
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "tgz_md5", md5(root / ARCHIVE))
    before = contents(root.parent)
    with pytest.raises(UserError, match=rf"cannot unpack {root / ARCHIVE} \(.*(outside the destination|absolute path)"):
        Cifar100().load(root)
    assert contents(root.parent) == before


def test_locations_say_what_is_there(server: Path, root: Path) -> None:
    put(server / ARCHIVE, root / ARCHIVE)
    assert Cifar100().locations(root) == f"{root / FOLDER}: missing; {root / ARCHIVE}: there"


def test_real_class_is_the_one_that_is_checked() -> None:
    kind = module._torchvision_class()
    assert (kind.filename, kind.tgz_md5) == (ARCHIVE, "eb9058c3a382ffc7106e4002c42a8d85")
    assert INFO.name == Cifar100().name == "cifar100"
