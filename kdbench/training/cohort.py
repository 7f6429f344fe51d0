"""A cohort: runs that share data, teacher, recipe and seed, trained in lockstep on the same batches."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import NoReturn, Protocol

import torch

from kdbench.data.delivery import delivery, training_images
from kdbench.data.reading import Loaders, NotDelivered
from kdbench.data.split import Split
from kdbench.data.streamed import AnyDataset
from kdbench.inputs.errors import UserError
from kdbench.inputs.places import describe, exits_refused, homes
from kdbench.method import Method
from kdbench.recipe import Recipe
from kdbench.store.progress import Progress
from kdbench.store.records import Epoch, Failure, Status
from kdbench.training.concurrency import TIMED_STEPS, make_step
from kdbench.training.diagnosis import diagnose, diagnoses, probe
from kdbench.training.evaluation import Score, evaluate
from kdbench.training.member import FrozenTeacher, Member
from kdbench.training.numerics import numerics
from kdbench.training.step import Lockstep, Step


class Interrupted(Exception):
    """Training was asked to stop; every member's checkpoint has been written."""


class Listener(Protocol):
    """What happens around training; the cohort knows no store and no screen."""

    def stop_requested(self) -> bool:
        """Whether to stop after the present batch, of training or of evaluation."""

    def epoch_ended(self, member: Member, epoch: Epoch) -> None:
        """A member has been trained and evaluated for one more epoch."""

    def checkpoint(self, member: Member, progress: Progress, *, due: bool) -> None:
        """A member may be written; `due` means it must."""

    def ended(self, member: Member, progress: Progress, status: Status, failure: Failure | None) -> None:
        """A member has left the cohort: done, failed or diverged."""


class Cohort:
    """Members and their progress. All start at one position; one that fails or diverges leaves, the others go on.

    On CUDA members compute on `lanes` streams (0: measured); `deterministic` makes a GPU's results bit-exact, as a
    CPU's always are. `loaders` read images that are in files.
    """

    def __init__(
        self,
        members: dict[str, tuple[Member, Progress]],
        teacher: FrozenTeacher | None,
        dataset: AnyDataset,
        device: torch.device,
        clock: Callable[[], float] = time.perf_counter,
        *,
        lanes: int = 1,
        deterministic: bool = False,
        loaders: Loaders | None = None,
    ):
        self.members = dict(members)
        self.size = len(members)
        self._teacher = teacher
        self._dataset = dataset
        self._device = device
        self._clock = clock
        first = next(iter(members.values()))
        self._recipe: Recipe = first[0].run.recipe
        self._start = first[1].position
        self._batches = delivery(
            dataset, self._recipe, first[0].run.seed, device, loaders or Loaders(), tested=not first[0].frozen
        )
        steps = self._batches.steps
        self._steps = min(steps, self._recipe.max_steps or steps)
        self._deterministic = deterministic
        work = Lockstep.of([member for member, _ in members.values()], teacher, self._batches)
        self._make_step = partial(make_step, work, device, lanes)
        self._step: Step

    def train(self, listener: Listener) -> None:
        """Train every member to its last epoch. Raises `Interrupted` when the listener asks to stop."""
        first_epoch, first_step = self._start
        with contextlib.closing(self._batches), self._delivered(listener), self._numerics():
            self._batches.epoch(first_epoch)
            self._step = self._make_step()
            for epoch in range(first_epoch, self._recipe.epochs + 1):
                self._train_epoch(epoch, first_step if epoch == first_epoch else 0, listener)
                self._end_epoch(epoch, listener)
                if not self.members:
                    return

    def pace(self, ready: Callable[[], None]) -> float:
        """Seconds of a training step, the mean of `TIMED_STEPS` after a first one; `ready` is called in between."""
        with contextlib.closing(self._batches), self._numerics():
            self._batches.epoch(1)
            step = self._make_step()
            step(1, 0)
            self._synchronise()
            ready()
            began = self._clock()
            for number in range(TIMED_STEPS):
                step(1, number % self._steps)
            self._synchronise()
            return (self._clock() - began) / TIMED_STEPS

    def _numerics(self) -> contextlib.AbstractContextManager[None]:
        return numerics(self._recipe.precision, self._deterministic)

    @contextlib.contextmanager
    def _delivered(self, listener: Listener) -> Iterator[None]:
        """Images that cannot be read fail all members, who would have seen them all."""
        try:
            yield
        except NotDelivered as error:
            for member, progress in self.members.values():
                listener.ended(member, progress, "failed", Failure(reason=str(error), epoch=progress.epoch))
            self.members.clear()

    def _train_epoch(self, epoch: int, first_step: int, listener: Listener) -> None:
        began = self._clock()
        self._batches.epoch(epoch)
        for member, _ in self.members.values():
            member.begin_epoch(epoch)
        for step in range(first_step, self._steps):
            for member, error in self._step(epoch, step):
                progress = self.members.pop(member.run.id)[1]
                listener.ended(member, progress, "failed", failure_of(error, epoch, member.method_class))
            if not self.members:
                return
            if listener.stop_requested():
                self._synchronise()
                self._share("train_seconds", self._clock() - began)
                self._stop(epoch, step + 1, listener)
        self._synchronise()
        self._share("train_seconds", self._clock() - began)

    def _end_epoch(self, epoch: int, listener: Listener) -> None:
        for member, progress in list(self.members.values()):
            fault = member.fault()
            if fault:
                self._leave(member, progress, listener, "diverged", Failure(reason=fault, epoch=epoch))
        began = self._clock()
        scores = self._evaluate(epoch, listener)
        self._share("test_seconds", self._clock() - began)
        for member, progress in list(self.members.values()):
            began = self._clock()
            try:
                diagnostics = self._diagnose(member)
            except (NotDelivered, torch.OutOfMemoryError):
                raise
            except Exception as error:
                self._fail(member, progress, listener, error, epoch)
                continue
            progress.test_seconds += self._clock() - began
            terms, score = member.end_epoch(self._samples), scores.get(member.run.id)
            ended = Epoch(
                epoch=epoch,
                lr=member.run.recipe.lr_at(epoch),
                loss=sum(weight * terms[name] for name, weight in member.weights.items()),
                terms=terms,
                test_top1=score and score.top1,
                test_top5=score and score.top5,
                test_loss=score and score.loss,
                diagnostics=diagnostics,
            )
            progress.curve.append(ended)
            progress.epoch, progress.step = epoch + 1, 0
            listener.epoch_ended(member, ended)
            with self._writing(member, progress, epoch, listener):
                if epoch == self._recipe.epochs:
                    self._leave(member, progress, listener, "done", None)
                else:
                    listener.checkpoint(member, progress, due=False)

    def _evaluate(self, epoch: int, listener: Listener) -> dict[str, Score]:
        """Scores by run id, each test batch made once for all members. A member that raises leaves."""
        models = {run_id: member.kept for run_id, (member, _) in self.members.items() if not member.frozen}

        def go_on() -> None:
            if listener.stop_requested():
                raise Interrupted

        try:
            scores, faults = evaluate(models, self._batches.test(), self._recipe.autocast, self._device, go_on)
        except Interrupted:
            self._stop(epoch, self._steps, listener)
        for run_id, error in faults.items():
            self._fail(*self.members[run_id], listener, error, epoch)
        return scores

    @cached_property
    def _probed(self) -> Split:
        return training_images(self._dataset, self._recipe.augmentation, probe(self._dataset))

    @exits_refused()
    def _diagnose(self, member: Member) -> dict[str, float]:
        if not diagnoses(member.method_class):
            return {}
        values = diagnose(member, self._teacher, self._dataset, self._probed, probe(self._dataset), self._device)
        return {name: float(value.mean()) for name, value in values.items()}

    @property
    def _samples(self) -> int:
        return min(len(self._dataset.train.labels), self._steps * self._recipe.batch_size)

    @property
    def samples_seen(self) -> int:
        """Training images that one member processes in the whole run."""
        return self._samples * self._recipe.epochs

    def _leave(
        self, member: Member, progress: Progress, listener: Listener, status: Status, failure: Failure | None
    ) -> None:
        listener.ended(member, progress, status, failure)
        del self.members[member.run.id]
        self._step.drop(member)

    def _fail(self, member: Member, progress: Progress, listener: Listener, error: Exception, epoch: int) -> None:
        self._leave(member, progress, listener, "failed", failure_of(error, epoch, member.method_class))

    @contextlib.contextmanager
    def _writing(self, member: Member, progress: Progress, epoch: int, listener: Listener) -> Iterator[None]:
        """A state that cannot be stored fails its member alone; a disk or memory that is full is nobody's fault."""
        try:
            yield
        except (UserError, OSError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            self._fail(member, progress, listener, error, epoch)

    def _stop(self, epoch: int, step: int, listener: Listener) -> NoReturn:
        """Write every member as it stands after `step` batches of `epoch`; some may have been evaluated already."""
        for member, progress in list(self.members.values()):
            if progress.epoch == epoch:
                progress.step = step
            with self._writing(member, progress, epoch, listener):
                listener.checkpoint(member, progress, due=True)
        raise Interrupted

    def _share(self, field: str, seconds: float) -> None:
        for _, progress in self.members.values():
            setattr(progress, field, getattr(progress, field) + seconds / len(self.members))

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def failure_of(error: Exception, epoch: int, method: type[Method]) -> Failure:
    """The failure of a run: its error and, where there is one, the line of the method that raised it."""
    reason = describe(error, homes(method))
    return Failure(reason=reason, epoch=epoch, traceback="".join(traceback.format_exception(error)))
