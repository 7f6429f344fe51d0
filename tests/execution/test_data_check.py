"""What `kdbench results check --data` compares: a record's basis, and contents that were noted."""

import hashlib
from pathlib import Path

import pytest

from kdbench.data import ImageFolder, StreamedDataset
from kdbench.data.contents import contents_checksum
from kdbench.execution.data_check import check_data
from kdbench.inputs.errors import UserError
from kdbench.store.records import Record
from kdbench.store.store import Store
from tests.data.support import write_jpegs
from tests.training.support import runs, train


def load(folder: Path) -> StreamedDataset:
    return ImageFolder().with_argument(str(folder)).load(None)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return train(tmp_path_factory.mktemp("record"), runs("student"))["student"]


def resting_on(dataset: StreamedDataset, record: Record, sha256: str | None = None) -> dict[str, Record]:
    """A record of a run on that data set."""
    run = record.run.model_copy(update={"dataset": dataset.info.name})
    basis = record.basis.model_copy(update={"data_sha256": sha256 or dataset.checksum})
    return {run.id: record.model_copy(update={"id": run.id, "run": run, "basis": basis})}


def test_the_digest_of_contents_is_that_of_each_image_in_order(tmp_path: Path) -> None:
    dataset = load(write_jpegs(tmp_path))
    expected = hashlib.sha256()
    for split in ("train", "val"):
        for name in ("ant", "bee", "cat"):
            for path in sorted((tmp_path / split / name).iterdir()):
                expected.update(hashlib.sha256(path.read_bytes()).digest())
    assert contents_checksum(dataset) == expected.hexdigest()


def test_contents_are_noted_first_and_compared_from_then_on(tmp_path: Path, record: Record) -> None:
    dataset, store = load(write_jpegs(tmp_path / "pets")), Store(tmp_path / "results")
    records = resting_on(dataset, record)
    first, second = (check_data(store, dataset, records) for _ in range(2))
    digest = contents_checksum(dataset)
    assert not first.problems and first.told[1].endswith(f"contents noted for the next check, sha256 {digest}")
    assert not second.problems and second.told[1].endswith(f"contents as they were noted, sha256 {digest}")
    path = tmp_path / "pets/val/bee/0.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    changed = load(tmp_path / "pets")
    assert changed.checksum == dataset.checksum
    (problem,) = check_data(store, changed, records).problems
    assert problem.path == store.contents_path(dataset.checksum) and "notes other contents" in problem.what
    path.unlink()
    with pytest.raises(UserError, match=r"val/bee/0.jpg cannot be read"):
        check_data(store, changed, records)


def test_records_that_rest_on_other_data_are_problems(tmp_path: Path, record: Record) -> None:
    dataset, store = load(write_jpegs(tmp_path / "pets")), Store(tmp_path / "results")
    records = resting_on(dataset, record, "0" * 64)
    checked = check_data(store, dataset, records)
    (problem,) = checked.problems
    assert problem.path == store.record_path(*records) and "rests on other data (sha256 000000000000…)" in problem.what
    assert checked.told[0] == f"{dataset.info.name}: 0 records of 1 rest on these data"


def test_data_that_no_record_rests_on_are_a_problem(tmp_path: Path, record: Record) -> None:
    dataset, store = load(write_jpegs(tmp_path / "pets")), Store(tmp_path / "results")
    (problem,) = check_data(store, dataset, {record.id: record}).problems
    assert problem.what == f"no record rests on data set '{dataset.info.name}', only on others: {record.run.dataset}"
