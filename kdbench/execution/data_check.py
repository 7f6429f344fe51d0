"""Whether data are still those that a results folder's records rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kdbench.data.contents import contents_checksum
from kdbench.data.streamed import AnyDataset, StreamedDataset
from kdbench.execution.upkeep import Problem
from kdbench.inputs.wording import counted
from kdbench.store.files import write_atomically
from kdbench.store.records import Record
from kdbench.store.store import Store

#: Characters of a digest that a sentence has.
SHOWN = 12


@dataclass
class DataCheck:
    """Lines on what was compared, and what is not as it was."""

    told: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def check_data(store: Store, dataset: AnyDataset, records: Mapping[str, Record]) -> DataCheck:
    """Compare a data set with the basis of each record of its name, and of a streamed one also what its files hold with
    what was noted before; where nothing was, it is noted now.
    """
    name, checked = dataset.info.name, DataCheck()
    resting = {run_id: record for run_id, record in records.items() if record.run.dataset == name}
    if not resting:
        others = ", ".join(sorted({record.run.dataset for record in records.values()})) or "none"
        problem = f"no record rests on data set '{name}', only on others: {others}"
        return DataCheck(problems=[Problem(store.records, problem, ())])
    checked.problems += _changed(store, dataset, resting)
    checked.told.append(
        f"{name}: {counted(len(resting) - len(checked.problems), 'record')} of {len(resting)} rest on these data"
    )
    if isinstance(dataset, StreamedDataset):
        _compare_contents(store, dataset, checked)
    return checked


def _changed(store: Store, dataset: AnyDataset, records: Mapping[str, Record]) -> Iterator[Problem]:
    for run_id, record in records.items():
        if record.data_sha256 != dataset.checksum:
            what = (
                f"it rests on other data (sha256 {record.data_sha256[:SHOWN]}…) than '{dataset.info.name}' is now "
                f"({dataset.checksum[:SHOWN]}…)"
            )
            yield Problem(store.record_path(run_id), what, ())


def _compare_contents(store: Store, dataset: StreamedDataset, checked: DataCheck) -> None:
    found, path = contents_checksum(dataset), store.contents_path(dataset.checksum)
    try:
        noted = path.read_bytes()[: len(found)].decode("ascii", "replace")
    except FileNotFoundError:
        write_atomically(path, f"{found}\n".encode())
        checked.told.append(f"{dataset.info.name}: contents noted for the next check, sha256 {found}")
        return
    if noted == found:
        checked.told.append(f"{dataset.info.name}: contents as they were noted, sha256 {found}")
    else:
        what = f"it notes other contents (sha256 {noted[:SHOWN]}…) than the files have now ({found[:SHOWN]}…)"
        checked.problems.append(Problem(path, what, ()))
