"""What local data are is remembered as long as their files are what they were."""

import os
from pathlib import Path

import pytest
from PIL import Image

from kdbench.data import DatasetInfo, DatasetSource, Folder, Holdout, Parquet, remember
from kdbench.store import kept
from tests.data.support import png, random_split, write_split


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty memory, which trusts files that were written just now."""
    monkeypatch.setattr(kept, "cache_folder", lambda: tmp_path / "home")
    monkeypatch.setattr(remember, "SETTLED", -60.0)
    return tmp_path / "home" / "datasets.json"


def a_folder(place: Path) -> DatasetSource:
    for split, size in (("train", 20), ("test", 5)):
        images = random_split(size, 6)
        for number, (image, label) in enumerate(zip(images.images.numpy(), images.labels.tolist(), strict=True)):
            path = place / split / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return Folder().with_argument(str(place))


def a_parquet(place: Path) -> DatasetSource:
    write_split(place / "train.parquet", random_split(20, 6))
    write_split(place / "test.parquet", random_split(5, 6))
    return Parquet().with_argument(str(place))


def a_holdout(place: Path) -> DatasetSource:
    return Holdout().of(a_parquet(place))


MAKERS = [a_folder, a_parquet, a_holdout]


def decoding_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))


@pytest.mark.parametrize("make", MAKERS)
def test_what_was_loaded_is_known_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make) -> None:
    source = make(tmp_path / "mine")
    assert source.known(None) is None
    info = source.info(None)
    assert info == source.load(None).info and info.checksum
    decoding_fails(monkeypatch)
    assert source.known(None) == source.info(None) == info


@pytest.mark.parametrize("make", MAKERS)
def test_a_file_that_changes_is_read_again(tmp_path: Path, make) -> None:
    source = make(tmp_path / "mine")
    before = source.info(None)
    path = next((tmp_path / "mine").rglob("*.p*"))
    found, data = path.stat(), path.read_bytes()
    # The same size and the same time: the time of its change tells.
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert source.known(None) is None and source.info(None) == before


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("package", ["kdbench", "pillow", "pyarrow"])
def test_what_another_version_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make, package: str
) -> None:
    source = make(tmp_path / "mine")
    before = source.info(None)
    now = remember.version
    monkeypatch.setattr(remember, "version", lambda name: "0.0.1" if name == package else now(name))
    assert source.known(None) is None and source.info(None) == before == source.known(None)


def test_a_file_that_comes_or_goes_is_noticed(tmp_path: Path) -> None:
    source = a_folder(tmp_path / "mine")
    before = source.info(None)
    (tmp_path / "mine/train/0/more.png").write_bytes(png(random_split(1, 6).images[0].numpy()))
    after = source.info(None)
    assert after.train_size == before.train_size + 1 and after.name != before.name
    (tmp_path / "mine/train/0/more.png").unlink()
    assert source.known(None) == before


def test_files_that_were_written_just_now_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "SETTLED", 60.0)
    source = a_parquet(tmp_path / "mine")
    source.load(None)
    assert source.known(None) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"x": {"name": 3}}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_begun_anew(tmp_path: Path, cache: Path, content: bytes) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    source = a_parquet(tmp_path / "mine")
    info = source.info(None)
    assert source.known(None) == info


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner's number here")
def test_what_another_user_put_there_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = a_parquet(tmp_path / "mine")
    assert source.info(None) == source.known(None)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert source.known(None) is None


def test_where_nothing_can_be_written_data_are_read_every_time(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.touch()
    source = a_parquet(tmp_path / "mine")
    assert source.info(None).checksum and source.known(None) is None
    assert "the next command reads the data anew" in caplog.text


def test_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remember, "MOST", 2)
    states = [remember.State(str(number), True) for number in range(3)]
    infos = [DatasetInfo("mine", 2, 8, 4, number, "0" * 64) for number in range(3)]
    for state, info in zip(states, infos, strict=True):
        remember.remember(state, info)
    assert [remember.remembered(state) for state in states] == [None, *infos[1:]]
