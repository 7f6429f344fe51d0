"""What executes jobs: cohorts go in, events and records come out. This machine and a cluster are two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from kdbench.execution.jobs import Job
from kdbench.store.records import Record, Status


@dataclass(frozen=True)
class Ended:
    """A job that is over, and how those of its runs ended that did, by run id.

    `lost` where what trained it is gone: the others go on from their last checkpoints. After a stop they do so when the
    command is given again.
    """

    job: Job
    how: Mapping[str, Status] = field(default_factory=dict)
    lost: bool = False

    @classmethod
    def of(cls, job: Job, records: Iterable[Record]) -> Ended:
        """A job with these records."""
        return cls(job, {record.id: record.status for record in records})


class Executor(Protocol):
    """Trains jobs, several at a time; every record is in the results folder before it is told.

    It is a context, and ends what it started when that is left. The lifecycle events of runs reach the observers of
    this process while it is heard.
    """

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def expect(self, jobs: Sequence[Job]) -> None:
        """Hear of the jobs to come, in the order in which they are wanted."""

    def has_room(self, job: Job) -> bool:
        """Whether the job could begin now, beside those that are in training; as any of its role and threads."""

    def begin(self, job: Job) -> None:
        """Train a job for which there is room; its end is heard of."""

    def hear(self) -> Iterable[Ended]:
        """The jobs that have ended, after a moment's waiting for one. Raises `UserError` where nothing goes on."""

    def stop(self) -> None:
        """Let every job in training end after its present batch, all written."""
