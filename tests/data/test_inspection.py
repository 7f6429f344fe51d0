"""Broken images are found before training, all of them, whether the data set is kept in memory or streamed."""

from pathlib import Path

import pytest

from kdbench.data import BUILTIN_SOURCES, contents, inspection, resolve_dataset
from kdbench.data.inspection import BrokenImages, inspected
from kdbench.inputs.errors import UserError
from tests.data.support import jpeg, png, random_split, write_jpegs, write_parquet

SOURCES = {source.name: source for source in BUILTIN_SOURCES}


def named(spec: str) -> list[str]:
    with pytest.raises(BrokenImages) as found:
        inspected(resolve_dataset(spec, SOURCES), None)
    return found.value.named


def test_a_sound_data_set_is_itself(tmp_path: Path) -> None:
    source = resolve_dataset(f"imagefolder:{write_jpegs(tmp_path)}", SOURCES)
    assert inspected(source, None).info == source.info(None)
    assert inspected(SOURCES["digits"], None).info == SOURCES["digits"].info(None)


@pytest.mark.parametrize("kind", ["imagefolder", "folder", "holdout:imagefolder"])
def test_every_broken_file_is_named_in_order(tmp_path: Path, kind: str) -> None:
    write_jpegs(tmp_path, train=10)
    for name, data in (("ant/0", b""), ("bee/3", b"text"), ("cat/9", jpeg(30, 40)[:-50])):
        (tmp_path / "train" / f"{name}.jpg").write_bytes(data)
    wrong = sorted(named(f"{kind}:{tmp_path}"))
    assert [line.partition(": ")[0] for line in wrong] == [
        f"{tmp_path}/train/{name}.jpg" for name in ("ant/0", "bee/3", "cat/9")
    ]
    assert "it has no encoded bytes" in wrong[0] and "are no JPEG" in wrong[1] and "truncated" in wrong[2]


def test_every_broken_row_is_named_of_images_that_memory_would_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [png(image.numpy()) for image in random_split(20, 6).images]
    for row in (3, 8, 11):
        images[row] = b"x" * row
    write_parquet(tmp_path / "train.parquet", images, [0, 1] * 10)
    write_parquet(tmp_path / "test.parquet", images[:2], [0, 1])
    wrong = named(f"parquet:{tmp_path}")
    assert [line.partition(": ")[0] for line in wrong] == [f"{tmp_path}/train.parquet, row {row}" for row in (3, 8, 11)]
    monkeypatch.setattr(inspection, "NAMED", 2)
    monkeypatch.setattr(contents, "BLOCK", 7)
    assert named(f"parquet:{tmp_path}") == [*wrong[:2], "1 more images are broken."]


def test_what_is_wrong_beside_images_is_said_as_it_is(tmp_path: Path) -> None:
    for kind in ("folder", "imagefolder"):
        with pytest.raises(UserError, match="holds no folder train with one called test"):
            inspected(resolve_dataset(f"{kind}:{tmp_path}", SOURCES), None)
