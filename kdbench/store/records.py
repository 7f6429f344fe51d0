"""Records: what a finished or failed run leaves, and the folder they lie in."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kdbench.errors import UserError
from kdbench.run import Run
from kdbench.store.files import write_atomically

FORMAT = 1

Status = Literal["done", "failed", "diverged"]


class _Model(BaseModel):
    # JSON has no infinity and no NaN, which an early epoch's test loss may be: they are kept as words.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Epoch(_Model):
    """One epoch: training losses are means over its samples, accuracy in per cent and test loss are of the whole test
    set.

    A pre-stage trains no classifier of its own, so its accuracy and test loss are None. `diagnostics` are means of what
    the method tells of single samples (`Method.diagnose`), over a fixed part of the training set.
    """

    epoch: int
    lr: float
    loss: float
    terms: dict[str, float]
    test_top1: float | None
    test_loss: float | None
    diagnostics: dict[str, float] = {}


class Cost(_Model):
    """What a run took. In a cohort the seconds are its equal share of the cohort's."""

    train_seconds: float
    test_seconds: float
    images_per_second: float
    cohort_size: int
    peak_memory_bytes: int
    deployed_parameters: int
    deployed_flops: int
    training_parameters: int


class Source(_Model):
    """Where the method's code came from, and the digest of its file."""

    module: str
    distribution: str
    version: str
    sha256: str


class Failure(_Model):
    """Why a run has no result."""

    reason: str
    epoch: int
    traceback: str = ""


class Record(_Model):
    """Everything a run leaves. `seconds` fields are wall time; `started` and `finished` are ISO 8601 in UTC."""

    format: int = FORMAT
    id: str
    status: Status
    run: Run
    curve: tuple[Epoch, ...] = ()
    failure: Failure | None = None
    teacher_sha256: str | None = None
    teacher_top1: float | None = None
    weights_sha256: str | None = None
    data_sha256: str
    source: Source
    cost: Cost | None = None
    environment: dict[str, Any]
    command: str
    started: str
    finished: str

    @property
    def top1_last(self) -> float:
        """Test accuracy in per cent after the last epoch: the headline."""
        return self._accuracies[-1]

    @property
    def top1_best(self) -> float:
        """The best epoch's test accuracy in per cent: selected on the test set."""
        return max(self._accuracies)

    @property
    def _accuracies(self) -> list[float]:
        return [epoch.test_top1 for epoch in self.curve if epoch.test_top1 is not None]


class Store:
    """A results folder: `records/ID.json`, and `checkpoints`, `weights` and, if asked for, `final/ID.safetensors`."""

    def __init__(self, root: Path):
        self.root = root

    def record_path(self, run_id: str) -> Path:
        """Where the record of a run lies."""
        return self.root / "records" / f"{run_id}.json"

    def checkpoint_path(self, run_id: str) -> Path:
        """Where the state of an unfinished run lies."""
        return self.root / "checkpoints" / f"{run_id}.safetensors"

    def weights_path(self, run_id: str) -> Path:
        """Where the deployed weights of a finished run lie."""
        return self.root / "weights" / f"{run_id}.safetensors"

    def final_path(self, run_id: str) -> Path:
        """Where the whole state of a finished run lies, its method's own modules included, if it was to be kept."""
        return self.root / "final" / f"{run_id}.safetensors"

    def record(self, run_id: str) -> Record | None:
        """The record of a run, or None; `UserError` if the file is there but damaged."""
        path = self.record_path(run_id)
        if not path.exists():
            return None
        return read_record(path)

    def records(self) -> list[Record]:
        """All records, by id."""
        return [read_record(path) for path in sorted((self.root / "records").glob("*.json"))]

    def write(self, record: Record) -> None:
        """Keep a record, then drop the checkpoint of its run: from here on the run is finished."""
        write_atomically(self.record_path(record.id), record.model_dump_json(indent=1).encode())
        self.checkpoint_path(record.id).unlink(missing_ok=True)


def read_record(path: Path) -> Record:
    """A record from its file; `UserError` says what is wrong with a damaged one."""
    try:
        record = Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"record {path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"]) or "file"
        raise UserError(
            f"record {path} is damaged ({where}: {problem['msg']}); move it away and run again to train its run anew."
        ) from None
    if record.format != FORMAT or record.id != path.stem or record.run.id != record.id:
        raise UserError(
            f"record {path} does not hold the run its name says (format {record.format}, run {record.run.id}); "
            "move it away and run again."
        )
    return record
