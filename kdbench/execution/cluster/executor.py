"""The executor on a Ray cluster: the driver owns the results folder, machines own nothing."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from kdbench.data.streamed import AnyDataset
from kdbench.execution.cluster.machines import Machine, Machines
from kdbench.execution.cluster.stop import Stop
from kdbench.execution.cluster.task import Cohort, Event, Failed, Kept, Message, train
from kdbench.execution.executor import Ended
from kdbench.execution.jobs import Job, needed_by
from kdbench.execution.options import Options
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.run import Run
from kdbench.store.files import write_together
from kdbench.store.records import Status
from kdbench.store.store import Store
from kdbench.training.checkpoint import keep_checkpoints, newest_checkpoint

#: How long the driver waits for a word before it looks at the signals again, in seconds.
POLL_SECONDS = 0.1
#: Deaths of what trained one run alone, without an end, after which the run is taken to bring them about.
MOST_DEATHS = 8
#: Objects that may come, beyond those that go, before Python looks for rings of them.
MOST_OBJECTS = 100_000
#: What workers take over from the driver's environment.
VARIABLES = ("KDBENCH_STEP", "KDBENCH_LOSS_BACKEND")


class RayExecutor:
    """Jobs as tasks of a Ray cluster, each with the CPUs or the share of a GPU that it needs.

    `dataset_spec` and `data_dir` say where machines look for the data before they are sent.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        dataset: AnyDataset,
        options: Options,
        stop_requested: Callable[[], bool],
        say: Callable[[str], None],
        *,
        runs: Sequence[Run],
        dataset_spec: str,
        data_dir: Path | None,
    ):
        import ray

        self._ray = ray
        self._store = store
        self._registry = registry
        self._options = options
        self._machines = Machines(registry, dataset, options, runs, dataset_spec, data_dir, say)
        self._running: dict[Any, tuple[Job, Machine]] = {}
        self._heard: set[Job] = set()
        self._how: dict[Job, dict[str, Status]] = {}
        self._sent: dict[Path, Any] = {}
        self._task = ray.remote(num_returns="streaming", max_retries=0)(train)
        self._stop: Any = None
        self._threshold = gc.get_threshold()

    def __enter__(self) -> RayExecutor:
        self._machines.meet()
        # For every few of the thousands of epochs that come and go, Python would look through all that there is.
        gc.set_threshold(MOST_OBJECTS)
        here = self._ray.get_runtime_context().get_node_id()
        self._stop = self._ray.remote(num_cpus=0)(Stop).options(**_at(here), max_concurrency=100_000).remote()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not KeyboardInterrupt:
            self.stop()
            while self._running:
                with contextlib.suppress(UserError):
                    for _ in self.hear():
                        pass
        for generator in self._running:
            self._ray.cancel(generator, force=True)
        if self._stop:
            self._ray.kill(self._stop)
        gc.set_threshold(*self._threshold)

    def expect(self, jobs: Sequence[Job]) -> None:
        """See `Executor`. Raises `UserError` for a job that no machine will ever have room for."""
        self._machines.check(jobs)

    def has_room(self, job: Job) -> bool:
        """See `Executor`."""
        self._machines.look()
        return self._machines.free(job) is not None

    def begin(self, job: Job) -> None:
        """See `Executor`."""
        if job.deaths >= MOST_DEATHS and len(job.runs) == 1:
            raise UserError(
                f"{job.runs[0].title} was begun {job.deaths} times, and each time what trained it died, most likely "
                "for want of memory or by a library; train it with --executor local to see "
                "more (what is finished is kept)."
            )
        machine = self._machines.free(job)
        assert machine is not None
        needs = (
            {"num_cpus": job.threads}
            if self._options.device.type == "cpu"
            else {"num_cpus": 0, "num_gpus": 1 / self._machines.jobs_a_gpu}
        )
        generator = self._task.options(**needs, **_at(machine.node.id)).remote(
            self._cohort(job), machine.data, self._stop
        )
        self._machines.take(machine, job)
        self._running[generator] = job, machine
        self._how[job] = {}

    def hear(self) -> Iterator[Ended]:
        """See `Executor`; what is trained on a machine that is gone is told as lost."""
        if not self._running:
            time.sleep(POLL_SECONDS)
            return
        # What is ready is here: nobody waits for a machine that has fallen silent with it.
        ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=POLL_SECONDS)
        for generator in ready:
            job, machine = self._running[generator]
            lost, over = False, False
            try:
                messages = self._ray.get(next(generator))
                self._heard.add(job)
                self._heed(job, messages)
            except StopIteration:
                over = True
            except self._ray.exceptions.TaskCancelledError:
                # By `stop`. Of a task that had just begun it is a RayTaskError as well.
                lost = over = True
            except self._ray.exceptions.RayTaskError as error:
                raise RuntimeError(f"on {machine.node.host}:\n{error}") from error
            except self._ray.exceptions.RayError:
                lost = over = True
            if over:
                del self._running[generator]
                self._heard.discard(job)
                self._machines.leave(machine, job)
                yield Ended(job, self._how.pop(job), lost)

    def stop(self) -> None:
        """See `Executor`."""
        if self._stop:
            self._stop.order.remote()
        for generator, (job, _) in self._running.items():
            # It may wait for room that another driver's tasks have, and hears of nothing until then.
            if job not in self._heard:
                self._ray.cancel(generator)

    def _heed(self, job: Job, messages: Sequence[Message]) -> None:
        self._keep([message for message in messages if isinstance(message, Kept)])
        runs = {run.id: run for run in job.runs}
        for message in messages:
            if isinstance(message, Event):
                self._registry.notify(message.hook, run=runs[message.run_id], **message.arguments)
            elif isinstance(message, Failed):
                raise message.why if isinstance(message.why, UserError) else RuntimeError(f"in a task:\n{message.why}")
            elif message.record:
                self._how[job][message.run_id] = message.record.status
                self._registry.notify("kdbench_run_ended", run=message.record.run, record=message.record)

    def _keep(self, messages: Sequence[Kept]) -> None:
        """Put on disk what came together: a cohort's members end epochs, and their last one, at the same time."""
        ended = {message.record.id: message for message in messages if message.record}
        # Of a run that has ended it would be removed again.
        going = [message for message in messages if message.run_id not in ended]
        keep_checkpoints(self._placed(going))
        # A record stands for weights that are there.
        write_together(self._placed(ended.values()))
        self._store.keep_dumped((message.record, message.dumped) for message in ended.values() if message.record)

    def _placed(self, messages: Iterable[Kept]) -> dict[Path, bytes]:
        """The files of messages by where they come."""
        return {self._store.root / path: content for message in messages for path, content in message.files.items()}

    def _cohort(self, job: Job) -> Cohort:
        device = torch.device(self._options.device.type)
        files: dict[Path, Any] = {}
        imported: dict[str, Any] = {}
        for run in job.runs:
            if checkpoint := newest_checkpoint(self._store.checkpoint_path(run.id), run.id):
                files[self._store.checkpoint_path(run.id).relative_to(self._store.root)] = checkpoint.path.read_bytes()
            if run.teacher and run.teacher.imported:
                imported[run.teacher.imported] = self._send(self._options.imported[run.teacher.imported])
        for needed in {needed.id: needed for run in job.runs for needed in needed_by(run)}.values():
            files |= self._files_of(needed)
        return Cohort(
            job.runs,
            job.threads,
            replace(self._options, device=device),
            files,
            imported,
            {name: os.environ[name] for name in VARIABLES if name in os.environ},
        )

    def _files_of(self, needed: Run) -> Mapping[Path, Any]:
        """Record and weights of what other runs rest on."""
        paths = self._store.record_path(needed.id), self._store.weights_path(needed.id)
        return {path.relative_to(self._store.root): self._send(path) for path in paths}

    def _send(self, path: Path) -> Any:
        """A file in the object store, which takes it to a machine once."""
        if path not in self._sent:
            self._sent[path] = self._ray.put(path.read_bytes())
        return self._sent[path]


def _at(node_id: str) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}
