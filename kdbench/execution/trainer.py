"""Training of one cohort with its files: checkpoints while it goes on, weights and a record when a run ends."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import torch

from kdbench.data.augment import side_of
from kdbench.data.streamed import AnyDataset
from kdbench.environment.device import peak_memory
from kdbench.environment.sources import source_file
from kdbench.environment.summary import environment
from kdbench.execution.allocator import freed_memory_kept
from kdbench.execution.loaders import loaders
from kdbench.execution.memory import DoesNotFit, in_halves
from kdbench.execution.options import Options
from kdbench.execution.plan import cohorts
from kdbench.execution.staleness import Present
from kdbench.execution.teachers import TeacherShelf
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.progress import Progress
from kdbench.store.records import Basis, Cost, Epoch, Failure, Record, Source, Status
from kdbench.store.store import Store, checkpoint_versions
from kdbench.store.weights import save_weights
from kdbench.training.checkpoint import load_checkpoint, newest_checkpoint, read_progress, save_checkpoint
from kdbench.training.cohort import Cohort, failure_of
from kdbench.training.flops import forward_flops
from kdbench.training.member import FrozenTeacher, Member, method_of


class Trainer:
    """Trains cohorts on one device. `emit(hook, **event)` hears of every lifecycle event, `checkpointed(run_id)` of
    every checkpoint that is written.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        dataset: AnyDataset,
        options: Options,
        *,
        stop_requested: Callable[[], bool],
        emit: Callable[..., None],
        checkpointed: Callable[[str], None] = lambda run_id: None,
    ):
        self.store = store
        self.registry = registry
        self.dataset = dataset
        self.options = options
        self.stop_requested = stop_requested
        self.emit = emit
        self.checkpointed = checkpointed
        self.present = Present(registry)
        self._shelf = TeacherShelf(store, registry, dataset, options.device, options.imported)

    def train(self, runs: list[Run]) -> list[Record]:
        """Train runs in cohorts, in parts where one does not fit into memory; the records of the runs.

        Raises `Interrupted` when asked to stop, all state written.
        """
        # Another process may have brought some of them further since they were put together.
        parts = cohorts(runs, self.store)
        with freed_memory_kept():
            return [record for part in parts for record in in_halves(part, self.store, self._train, self._too_large)]

    def _train(self, runs: list[Run]) -> list[Record]:
        teacher = self._shelf.teacher(runs[0].teacher, runs[0].recipe) if runs[0].teacher else None
        recorder = _Recorder(self, teacher, len(runs))
        # More than one position where somebody wrote a state since the runs were put together, as a worker whose parent
        # was killed does at the end of its batch.
        by_position: dict[tuple[int, int], dict[str, tuple[Member, Progress]]] = {}
        try:
            for run in runs:
                member = self._member(run, teacher, recorder)
                if member:
                    by_position.setdefault(member[1].position, {})[run.id] = member
                    self.emit("kdbench_run_started", run=run)
            for members in by_position.values():
                cohort = self._cohort(members, teacher)
                recorder.samples = cohort.samples_seen
                cohort.train(recorder)
        except torch.OutOfMemoryError as error:
            ended = {record.id for record in recorder.records}
            left = [run for run in runs if run.id not in ended]
            raise DoesNotFit(recorder.records, left, " ".join(str(error).split())) from None
        return recorder.records

    def pace(self, runs: list[Run], ready: Callable[[], None]) -> float:
        """Seconds of a training step of a cohort of new runs, of which nothing is kept; see `Cohort.pace`."""
        teacher = self._shelf.teacher(runs[0].teacher, runs[0].recipe) if runs[0].teacher else None
        members = {run.id: (self._new_member(run, teacher), Progress(run_id=run.id)) for run in runs}
        return self._cohort(members, teacher).pace(ready)

    def _cohort(self, members: dict[str, tuple[Member, Progress]], teacher: FrozenTeacher | None) -> Cohort:
        lanes, deterministic = self.options.lanes, self.options.deterministic
        return Cohort(
            members,
            teacher,
            self.dataset,
            self.options.device,
            lanes=lanes,
            deterministic=deterministic,
            loaders=loaders(
                self.options.device, self.registry, max(1, len(self.options.gpus)) * max(1, self.options.workers)
            ),
        )

    def _new_member(self, run: Run, teacher: FrozenTeacher | None) -> Member:
        pre_stage = self._shelf.pre_stage(run.pre_stage) if run.pre_stage else None
        return Member(run, self.registry, self.dataset, teacher, pre_stage, self.options.device)

    def _too_large(self, run: Run, reason: str) -> Record:
        recorder = _Recorder(self, self._shelf.teacher(run.teacher, run.recipe) if run.teacher else None, 1)
        progress = read_progress(self.store.checkpoint_path(run.id), run.id)
        failure = Failure(reason=f"does not fit into memory even alone: {reason}", epoch=progress.epoch)
        recorder.write(run, progress, "failed", failure)
        return recorder.records[0]

    def _member(self, run: Run, teacher: FrozenTeacher | None, recorder: _Recorder) -> tuple[Member, Progress] | None:
        """The run as it stands; None, and a record that says why, if it cannot even be built."""
        checkpoint = newest_checkpoint(self.store.checkpoint_path(run.id), run.id)
        progress = checkpoint.progress if checkpoint else Progress(run_id=run.id)
        progress.basis = progress.basis or recorder.basis(run)
        try:
            member = self._new_member(run, teacher)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            recorder.write(run, progress, "failed", failure_of(error, progress.epoch, method_of(run, self.registry)[0]))
            return None
        if checkpoint:
            load_checkpoint(checkpoint, member)
        for path in checkpoint_versions(self.store.checkpoint_path(run.id)):
            # What did not verify must not push out what did.
            if path.exists() and (checkpoint is None or path == self.store.checkpoint_path(run.id) != checkpoint.path):
                self.store.set_aside(path, "damaged")
        return member, progress


class _Recorder:
    """Listens to a cohort and puts on disk what it hears."""

    def __init__(self, trainer: Trainer, teacher: FrozenTeacher | None, size: int):
        self._trainer = trainer
        self._teacher = teacher
        self._size = size
        self._started = _now()
        self._written: dict[str, float] = {}
        self._began = time.monotonic()
        self.records: list[Record] = []
        self.samples = 0

    def stop_requested(self) -> bool:
        return self._trainer.stop_requested()

    def epoch_ended(self, member: Member, epoch: Epoch) -> None:
        self._trainer.emit("kdbench_epoch_ended", run=member.run, epoch=epoch)

    def checkpoint(self, member: Member, progress: Progress, *, due: bool) -> None:
        run_id, now = member.run.id, time.monotonic()
        if due or now - self._written.get(run_id, self._began) >= self._trainer.options.checkpoint_seconds:
            save_checkpoint(self._trainer.store.checkpoint_path(run_id), member, progress)
            self._written[run_id] = now
            self._trainer.checkpointed(run_id)

    def ended(self, member: Member, progress: Progress, status: Status, failure: Failure | None) -> None:
        outcome: dict[str, Any] = {}
        if status == "done":
            if self._trainer.options.keep_final:
                save_checkpoint(self._trainer.store.final_path(member.run.id), member, progress)
            outcome = {"weights_sha256": self._save_weights(member, progress), "cost": self._cost(member, progress)}
        self.write(member.run, progress, status, failure, **outcome)

    def _save_weights(self, member: Member, progress: Progress) -> str:
        top1 = progress.curve[-1].test_top1
        return save_weights(
            member.kept,
            self._trainer.store.weights_path(member.run.id),
            member.run.student,
            self._trainer.dataset.info.num_classes,
            {} if top1 is None else {f"top1 {member.run.dataset}": repr(top1)},
            overwrite=True,
        )

    def _cost(self, member: Member, progress: Progress) -> Cost:
        return Cost(
            train_seconds=progress.train_seconds,
            test_seconds=progress.test_seconds,
            images_per_second=self.samples / max(progress.train_seconds, 1e-9),
            cohort_size=self._size,
            peak_memory_bytes=peak_memory(self._trainer.options.device),
            deployed_parameters=sum(p.numel() for p in member.deployed.parameters()),
            deployed_flops=forward_flops(
                member.deployed, side_of(self._trainer.dataset.info, member.run.recipe.augmentation)
            ),
            training_parameters=sum(p.numel() for p in member.parameters),
        )

    def basis(self, run: Run) -> Basis:
        """What a run that begins now rests on."""
        trainer = self._trainer
        pre_stage = trainer.store.record(run.pre_stage.id) if run.pre_stage else None
        return trainer.present.basis(
            run,
            trainer.dataset.checksum,
            self._teacher.sha256 if self._teacher else None,
            pre_stage.weights_sha256 if pre_stage else None,
        )

    def write(self, run: Run, progress: Progress, status: Status, failure: Failure | None, **outcome: Any) -> None:
        """Keep the record of a run and tell whoever listens."""
        trainer = self._trainer
        record = Record(
            id=run.id,
            status=status,
            run=run,
            curve=tuple(progress.curve),
            failure=failure,
            basis=progress.basis or self.basis(run),
            teacher_top1=self._teacher.top1 if self._teacher else None,
            source=_source(run, trainer.registry),
            environment=environment(trainer.options.device),
            command=trainer.options.command,
            started=self._started,
            finished=_now(),
            **outcome,
        )
        trainer.store.keep(record)
        self.records.append(record)
        trainer.emit("kdbench_run_ended", run=run, record=record)


def _source(run: Run, registry: Registry) -> Source:
    method, _ = method_of(run, registry)
    plugin = registry.plugin_of("method", run.method) if run.role != "teacher" else registry.harness
    return Source(
        module=method.__module__,
        distribution=plugin.distribution,
        version=plugin.version,
        # As it was loaded; the harness's own are not among them.
        sha256=registry.sources.of(method.__module__).files.get(method.__module__) or source_file(method)[1],
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
