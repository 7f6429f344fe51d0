import io
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kdbench.data import Dataset, DatasetInfo, DatasetSource, StreamedDataset, local, parquet, parquet_files, shard
from kdbench.data.dataset import channel_statistics
from kdbench.data.parquet import Parquet
from kdbench.inputs.errors import UserError
from tests.data.support import png, random_split, write_parquet, write_split

NAMES = ["ant", "bee", "cat", "dog", "elk"]
TRAIN, TEST = random_split(20, 6), random_split(9, 6)
GREY = np.arange(36, dtype=np.uint8).reshape(6, 6)
GOOD = [png(image.numpy()) for image in TRAIN.images[:3]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good data set in the folder `noise`."""
    write_split(tmp_path / "noise/train.parquet", TRAIN, names=NAMES)
    write_split(tmp_path / "noise/test.parquet", TEST, names=NAMES)
    return tmp_path / "noise"


def source(folder: Path) -> DatasetSource:
    return Parquet().with_argument(str(folder))


def load(folder: Path) -> Dataset:
    return source(folder).load(None)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(folder)


def test_a_download_that_ended_early_is_refused(tmp_path: Path) -> None:
    for number in (0, 2):
        write_split(tmp_path / f"train-0000{number}-of-00003.parquet", random_split(20 + number // 2, 6), names=NAMES)
    write_split(tmp_path / "test-00000-of-00001-0a1b2c.parquet", TEST, names=NAMES)
    refused(tmp_path, "has 2 of the 3 files train-…-of-00003; download the others")
    write_split(tmp_path / "train-00001-of-00003.parquet", random_split(22, 6), names=NAMES)
    assert load(tmp_path).info.train_size == 20 + 22 + 21


def test_load_agrees_with_info_and_with_what_was_written(folder: Path) -> None:
    dataset = load(folder)
    name = f"noise@{dataset.checksum[:8]}"
    assert dataset.info == source(folder).info(None) == DatasetInfo(name, 5, 6, 20, 9, dataset.checksum)
    assert dataset.classes == tuple(NAMES)
    for ours, written in ((dataset.train, TRAIN), (dataset.test, TEST)):
        assert torch.equal(ours.images, written.images)
        assert torch.equal(ours.labels, written.labels)
    assert (dataset.mean, dataset.std) == channel_statistics(TRAIN.images)


def test_name_is_the_folders_however_it_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for path in (".", "../noise", "../noise/", str(folder), "../other/../noise"):
        name = Parquet().with_argument(path).info(None).name
        assert name == "noise@733d4905"
    assert Parquet().with_argument("../noise").name == "parquet:../noise"


def test_the_same_data_elsewhere_have_the_same_checksum(folder: Path, tmp_path: Path) -> None:
    write_split(tmp_path / "copy/train.parquet", TRAIN, names=NAMES, columns=("img", "fine_label"))
    write_split(tmp_path / "copy/test.parquet", TEST, names=NAMES, columns=("img", "fine_label"))
    copy = load(tmp_path / "copy")
    assert (copy.info.name, copy.checksum) == (f"copy@{copy.checksum[:8]}", load(folder).checksum)


def test_shards_of_a_subfolder_are_joined_in_order(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "sharded/data"
    for number, (start, stop) in enumerate([(0, 0), (0, 13), (13, 20)]):
        part = replace(TRAIN, images=TRAIN.images[start:stop], labels=TRAIN.labels[start:stop])
        write_split(place / f"train-0000{number}-of-00003.parquet", part, names=NAMES)
    write_split(place / "validation-00000-of-00001.parquet", TEST, names=NAMES)
    assert load(place.parent).checksum == load(folder).checksum


def test_validation_counts_only_where_there_is_no_test(folder: Path) -> None:
    write_split(folder / "valid.parquet", TRAIN, names=NAMES)
    assert source(folder).info(None).test_size == 9
    (folder / "test.parquet").unlink()
    assert source(folder).info(None).test_size == 20


@pytest.mark.parametrize("metadata", [None, json.dumps({"info": {"features": {"label": {"_type": "Value"}}}}).encode()])
def test_classes_without_names_are_numbers(folder: Path, metadata: bytes | None) -> None:
    write_split(folder / "train.parquet", TRAIN, metadata=metadata)
    write_split(folder / "test.parquet", TEST, metadata=metadata)
    assert load(folder).classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("label_type", [pa.int8(), pa.uint64()])
def test_any_integer_is_a_label(folder: Path, label_type: pa.DataType) -> None:
    write_split(folder / "train.parquet", TRAIN, names=NAMES, label_type=label_type)
    assert torch.equal(load(folder).train.labels, TRAIN.labels)


def test_formats_and_modes_become_rgb(folder: Path) -> None:
    colour = TRAIN.images[0].numpy()
    palette = Image.fromarray(GREY).convert("P")
    images = [
        png(GREY),
        png(colour, "RGBA"),
        png(colour, fmt="BMP"),
        png(colour, fmt="WEBP", lossless=True),
        png(GREY, "LA"),
        png(np.asarray(palette.convert("L")), "P"),
        png(colour, fmt="JPEG", quality=95),
    ]
    write_parquet(folder / "train.parquet", images, [0] * 7, names=NAMES)
    loaded = load(folder).train.images.numpy()
    grey = np.repeat(GREY[..., None], 3, 2)
    for found, expected in zip(loaded, [grey, colour, colour, colour, grey, grey], strict=False):
        np.testing.assert_array_equal(found, expected)
    with Image.open(io.BytesIO(images[6])) as jpeg:
        np.testing.assert_array_equal(loaded[6], np.asarray(jpeg))


def test_folder_must_be_given_and_hold_both_splits(folder: Path, tmp_path: Path) -> None:
    for call in (lambda: Parquet().info(None), lambda: Parquet().load(None), lambda: Parquet().with_argument("")):
        with pytest.raises(UserError, match="'parquet' needs a folder; write parquet:DIR"):
            call()
    refused(tmp_path / "nowhere", r"nowhere, its subfolder data and its other subfolders hold no train\*.parquet")
    (folder / "test.parquet").unlink()
    refused(
        folder,
        r"hold no train\*.parquet with a test\*.parquet or validation\*.parquet .* beside it, but train.parquet; check",
    )


def test_locations_say_what_is_there(folder: Path) -> None:
    assert source(folder).locations(None) == f"{folder}: there"
    assert source(folder / "x").locations(None) == f"{folder / 'x'}: missing"
    assert "parquet:DIR" in Parquet().locations(None)


TRUNCATED = png(TRAIN.images[0].numpy(), fmt="JPEG")[:-40]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "it has no encoded bytes"),
        ({"bytes": None, "path": "a.png"}, "it has no encoded bytes"),
        (b"", "it has no encoded bytes"),
        (b"not an image", "its 12 bytes are no JPEG, .*, GIF image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n", "its 47 bytes are no JPEG, .*, GIF image"),
        (TRUNCATED, "it cannot be decoded: .*truncated"),
        (png(TRAIN.images[0].numpy())[:-30], "it cannot be decoded"),
        (png(np.zeros((6, 6), np.uint16)), "its channels are not of 8 bits"),
    ],
)
def test_bad_image_is_named_by_file_and_row(folder: Path, data: Any, reason: str) -> None:
    write_parquet(folder / "train.parquet", [*GOOD, data], [0] * 4, names=NAMES)
    refused(folder, rf"{folder / 'train.parquet'}, row 3: bad image: {reason}")
    write_parquet(folder / "train.parquet", [data, *GOOD], [0] * 4, names=NAMES)
    with pytest.raises(UserError, match=r"train.parquet, row [01]: bad image"):
        load(folder)


def test_rows_are_counted_through_chunks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "CHUNK", 4)
    write_parquet(folder / "test.parquet", [*GOOD * 5, b"x", *GOOD], [0] * 19, names=NAMES)
    refused(folder, r"test.parquet, row 15: bad image")
    write_parquet(folder / "test.parquet", GOOD * 5, [0] * 14 + [5], names=NAMES)
    refused(folder, r"test.parquet, row 14: label 5 is not within 0..4; mend it")


def test_decompression_bomb_is_refused_by_its_header(folder: Path) -> None:
    # A PNG whose header claims 50,000 × 50,000 pixels, with the checksum that belongs to it.
    bomb = bytearray(png(GREY))
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    write_parquet(folder / "train.parquet", [*GOOD, bytes(bomb)], [0] * 4, names=NAMES)
    refused(folder, "row 3: bad image: it has more than 89,478,485 pixels")


@pytest.mark.parametrize("label", [-1, 5, 2**40])
def test_label_outside_the_classes_is_refused(folder: Path, label: int) -> None:
    write_parquet(folder / "train.parquet", GOOD, [0, label, 1], names=NAMES)
    refused(folder, rf"{folder / 'train.parquet'}, row 1: label {label} is not within 0..4")


def test_label_that_only_the_test_images_have_is_refused(folder: Path) -> None:
    write_parquet(folder / "train.parquet", GOOD, [0, 1, 2])
    write_parquet(folder / "test.parquet", GOOD, [0, 1, 3])
    refused(folder, r"test.parquet, row 2: label 3 is not within 0..2")


def test_stray_number_does_not_become_a_million_classes(folder: Path) -> None:
    write_parquet(folder / "train.parquet", GOOD, [0, 1, 10**12])
    write_parquet(folder / "test.parquet", GOOD, [0, 1, 2])
    refused(folder, "labels run up to 1000000000000 in 3 training rows")


def test_empty_label_is_refused(folder: Path) -> None:
    write_parquet(folder / "train.parquet", GOOD, [0, None, 1], names=NAMES)
    refused(folder, r"train.parquet: column 'label' has empty labels")


WRAPPED = [{"bytes": image} for image in GOOD]


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (GOOD, [0] * 3, ": column 'image' is binary, but must be a struct with binary `bytes`"),
        ([{"path": "x"}] * 3, [0] * 3, ": column 'image' is struct<path: string>, but must be a struct"),
        ([{"bytes": "x"}] * 3, [0] * 3, ": column 'image' is struct<bytes: string>, but must be a struct"),
        (WRAPPED, [0.0] * 3, ": column 'label' is double, but must be an integer"),
        (WRAPPED, ["0"] * 3, ": column 'label' is string, but must be an integer"),
        (WRAPPED, [True] * 3, ": column 'label' is bool, but must be an integer"),
        (WRAPPED, None, " has no column 'label' or 'fine_label' among: image; rename the right one"),
        (None, [0] * 3, " has no column 'image' or 'img' among: label; rename the right one"),
        (None, None, " has no column 'image' or 'img' among: none"),
    ],
)
def test_wrong_columns_are_refused(folder: Path, image: Any, label: Any, message: str) -> None:
    columns = {name: pa.array(values) for name, values in (("image", image), ("label", label)) if values is not None}
    pq.write_table(pa.table(columns), folder / "train.parquet")
    refused(folder, str(folder / "train.parquet") + message)


@pytest.mark.parametrize(
    "metadata",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"info": {"features": {}}}',
        b'{"info": {"features": {"label": null}}}',
        b'{"info": {"features": {"label": {"names": [1, 2]}}}}',
        b'{"info": {"features": {"label": {"names": "ant"}}}}',
    ],
)
def test_metadata_that_say_nothing_are_refused(folder: Path, metadata: bytes) -> None:
    write_split(folder / "train.parquet", TRAIN, metadata=metadata)
    refused(folder, "its 'huggingface' metadata do not describe column 'label'")


def test_splits_that_name_different_classes_are_refused(folder: Path) -> None:
    write_split(folder / "test.parquet", TEST, names=NAMES[::-1])
    refused(folder, rf"{folder / 'train.parquet'} and {folder / 'test.parquet'} name different classes")


def test_too_many_images_or_none_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_IMAGES", 19)
    refused(folder, "have 20 images; a split must have from 1 to 19")
    write_parquet(folder / "train.parquet", [], [], names=NAMES)
    refused(folder, "have 0 images")


def test_too_many_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_split(folder / "train-2.parquet", TRAIN, names=NAMES)
    monkeypatch.setattr(parquet_files, "MAX_FILES", 1)
    refused(folder, "and its like are 2 files; a split may have 1; join some")


def test_a_column_that_unpacks_to_too_much_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "train.parquet"
    row = pa.array([{"bytes": bytes(4_000_000)}], pa.struct([("bytes", pa.binary())]))
    pq.write_table(pa.table({"image": row, "label": [0]}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(shard, "MAX_GROUP_BYTES", 3_000_000)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **__: pytest.fail("read"))
    refused(folder, r"train.parquet has a column of 4,000,\d+ bytes in one row group, and at most 3,000,000 are read")


def test_a_value_that_rows_share_does_not_multiply(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are taken so few at a time that all together hold CHUNK_BYTES at most, though one value be the column."""
    monkeypatch.setattr(shard, "CHUNK_BYTES", 100_000)
    big = png(np.zeros((64, 64), np.uint8)) + bytes(9_000)
    write_parquet(folder / "train.parquet", [big] * 50, [0] * 50, names=NAMES)
    opened = shard.open_shard(folder / "train.parquet")
    sizes = [batch.column("image").nbytes for batch in opened.column_batches(["image.bytes"])]
    assert len(sizes) > 1 and max(sizes) <= 101_000
    assert sum(sizes) > 50 * len(big)


def test_a_split_that_decodes_to_too_much_is_streamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_SPLIT_BYTES", 2000)
    assert isinstance(load(folder), StreamedDataset)


def test_a_split_that_does_not_fit_memory_is_streamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", full)
    assert isinstance(load(folder), StreamedDataset)


@pytest.mark.parametrize("length", [0, 3, 100, 2000, -4])
def test_truncated_file_is_refused(folder: Path, length: int) -> None:
    path = folder / "train.parquet"
    path.write_bytes(path.read_bytes()[:length])
    refused(folder, rf"{path} is damaged or no parquet file \(.*\); copy it anew and run again")


def test_column_name_that_is_no_text_is_refused(folder: Path) -> None:
    path = folder / "train.parquet"
    path.write_bytes(path.read_bytes().replace(b"label", b"lab\xffl"))
    refused(folder, f"{path} is damaged or no parquet file")


@pytest.mark.parametrize("rows", [15, 25])
def test_footer_that_counts_wrongly_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    opened = shard.open_shard
    monkeypatch.setattr(parquet, "open_shard", lambda path: replace(opened(path), rows=rows))
    refused(folder, f"its footer counts {rows} rows, but it has 20")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_any_damage_is_a_user_error_or_harmless(folder: Path, data: st.DataObject) -> None:
    path = folder / "train.parquet"
    original = path.read_bytes()
    content = bytearray(original)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert load(folder).info.train_size == 20
    except UserError as error:
        assert str(folder) in str(error)
    finally:
        path.write_bytes(original)
