"""Records: what a finished or failed run leaves, and the file it is kept in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kdbench.inputs.added_later import MARK, Growing
from kdbench.inputs.errors import UserError
from kdbench.run import Run

#: Of the file. Format 1 had no checksum.
FORMAT = 2
#: Hundreds of times a record of 240 epochs.
MAX_BYTES = 64_000_000

Status = Literal["done", "failed", "diverged"]


class _Model(BaseModel):
    # JSON has no infinity and no NaN, which an early epoch's test loss may be: they are kept as words.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Epoch(Growing, _Model):
    """One epoch: training losses are means over its samples, accuracy in per cent and test loss are of the whole test
    set.

    A pre-stage trains no classifier of its own, so its accuracies and test loss are None, as `test_top5` is where there
    are few classes (`training/evaluation.py`) and in old records. `diagnostics` are means of what the method tells of
    single samples (`Method.diagnose`), over a fixed part of the training set.
    """

    epoch: int
    lr: float
    loss: float
    terms: dict[str, float]
    test_top1: float | None
    test_loss: float | None
    test_top5: float | None = Field(None, json_schema_extra=MARK)
    diagnostics: dict[str, float] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # The driver of a cluster unpickles thousands a second; in pydantic's own way each takes twice as long.
        return _unpickled, (self.__dict__,)


def _unpickled(values: dict[str, Any]) -> Epoch:
    epoch = Epoch.__new__(Epoch)
    _set(epoch, "__dict__", values)
    _set(epoch, "__pydantic_fields_set__", _EPOCH_FIELDS)
    _set(epoch, "__pydantic_extra__", None)
    _set(epoch, "__pydantic_private__", None)
    return epoch


_set, _EPOCH_FIELDS = object.__setattr__, set(Epoch.model_fields)


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


class Basis(_Model):
    """What a result rests on beside its configuration: if any of it has changed since, the result is stale.

    `sources` holds the sha256 of each module file that defines the method and the student network, and `packages` the
    versions of the distributions that these import; the teacher and the pre-stage are told by the sha256 of their
    weights.
    """

    numeric_version: int
    data_sha256: str
    teacher_sha256: str | None = None
    pre_stage_sha256: str | None = None
    sources: dict[str, str]
    packages: dict[str, str] = {}


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

    id: str
    status: Status
    run: Run
    curve: tuple[Epoch, ...] = ()
    failure: Failure | None = None
    basis: Basis
    teacher_top1: float | None = None
    weights_sha256: str | None = None
    source: Source
    cost: Cost | None = None
    environment: dict[str, Any]
    command: str
    started: str
    finished: str

    @property
    def data_sha256(self) -> str:
        """Checksum of the data set."""
        return self.basis.data_sha256

    @property
    def teacher_sha256(self) -> str | None:
        """Checksum of the teacher's weights."""
        return self.basis.teacher_sha256

    @property
    def top1_last(self) -> float:
        """Test accuracy in per cent after the last epoch: the headline."""
        return self._accuracies[-1]

    @property
    def top5_last(self) -> float | None:
        """The same of labels among the five largest logits; None where that was not measured."""
        return self.curve[-1].test_top5

    @property
    def top1_best(self) -> float:
        """The best epoch's test accuracy in per cent: selected on the test set."""
        return max(self._accuracies)

    @property
    def _accuracies(self) -> list[float]:
        return [epoch.test_top1 for epoch in self.curve if epoch.test_top1 is not None]


class Damaged(UserError):
    """A file of the store that is not what was written; `path` can be set aside and its run trained again."""

    def __init__(self, path: Path, problem: str):
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.path} is damaged ({self.problem}); `kdbench results repair` sets it aside, for its run to be "
            "trained again."
        )


class OtherFormat(UserError):
    """A file of the store that another version of kdbench wrote."""

    def __init__(self, path: Path, found: object, expected: int):
        super().__init__(path, found, expected)

    def __str__(self) -> str:
        path, found, expected = self.args
        return (
            f"{path} has format {found!r}, and this kdbench reads format {expected}; use the version of kdbench that "
            "wrote it, or another --results folder."
        )


def dump_record(record: Record) -> bytes:
    """A record as the JSON of its file, with the format and a checksum over all the rest."""
    content = json.loads(record.model_dump_json())
    return json.dumps({"format": FORMAT, "sha256": _digest(content), **content}, indent=1).encode()


def read_record(path: Path) -> Record:
    """A record from its file.

    Raises `Damaged`, `OtherFormat`, `FileNotFoundError`, or `UserError` where it cannot be read at all.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Damaged(path, f"it has more than {MAX_BYTES:,} bytes")
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"record {path} cannot be read ({error.strerror}); mend its permissions or its disk.") from None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"no JSON: {str(error)[:80]}") from None
    if not isinstance(content, dict) or "format" not in content:
        raise Damaged(path, "it does not say its format")
    if content.pop("format") != FORMAT:
        raise OtherFormat(path, json.loads(data)["format"], FORMAT)
    if content.pop("sha256", None) != _digest(content):
        raise Damaged(path, "its checksum does not hold")
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        raise Damaged(path, f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    if record.id != path.stem or record.run.id != record.id:
        raise Damaged(path, f"it holds run {record.run.id}")
    return record


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
