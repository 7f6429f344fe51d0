"""The machines that take part: asked once when they come, given data once, and only if they have the driver's code."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from kdbench.data.streamed import AnyDataset
from kdbench.environment.versions import versions
from kdbench.execution.cluster.connect import Node, nodes
from kdbench.execution.cluster.inquiry import Answer, Inquiry, answer, code_of, difference, kinds
from kdbench.execution.cluster.parcel import pack, size, travels
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.inputs.errors import UserError
from kdbench.registry import Registry
from kdbench.run import Run

#: How often the driver looks for machines that have come or gone, in seconds.
LOOK_SECONDS = 1.0
#: The part of a machine's object store that a data set may take.
SHARE = 0.8
#: How long the first machines may take to import and to read the data, in seconds.
MEET_SECONDS = 300.0


@dataclass(eq=False)
class Machine:
    """A machine that takes part, a reference to its data, and its room: free CPUs, or jobs that its GPUs still take."""

    node: Node
    data: Any
    room: int


class Machines:
    """The machines of the cluster as one command uses them."""

    def __init__(
        self,
        registry: Registry,
        dataset: AnyDataset,
        options: Options,
        runs: Sequence[Run],
        dataset_spec: str,
        data_dir: Path | None,
        say: Callable[[str], None],
    ):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        self._affinity = NodeAffinitySchedulingStrategy
        self._gpu = options.device.type == "cuda"
        #: Cohorts that share a GPU, as `--workers` says; through Ray it is not measured.
        self.jobs_a_gpu = options.workers or 1
        self._say = say
        asked = kinds(list(runs))
        self._code = code_of(asked, registry)
        self._inquiry = Inquiry(asked, options.plugin_files, dataset_spec, data_dir, dataset.checksum)
        self._bytes = size(dataset)
        self._travels = travels(dataset)
        self._data = ray.put(pack(dataset))
        self._here = ray.get_runtime_context().get_node_id()
        self._there: dict[str, Machine] = {}
        self._asked: dict[Any, tuple[Node, Any]] = {}
        self._known: set[str] = set()
        self._refused: list[str] = []
        self._told: set[str] = set()
        self._looked = 0.0

    def meet(self) -> None:
        """Ask the machines that are there. Raises `UserError` where none can take part."""
        self.look()
        until = time.monotonic() + MEET_SECONDS
        while self._asked and time.monotonic() < until:
            self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0.1)
            self._hear_answers()
        if not self._there:
            wanted = "a GPU" if self._gpu else "a CPU"
            why = "; ".join(self._refused) or f"none has {wanted} (`ray status` lists what there is)"
            raise UserError(f"no machine of the Ray cluster can train this: {why}.")

    def look(self) -> None:
        """See who has come and gone; not more often than it matters."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            alive = {node.id: node for node in nodes()}
            self._there = {name: machine for name, machine in self._there.items() if name in alive}
            for node in alive.values():
                if node.id not in self._known and (node.gpus if self._gpu else node.cpus):
                    self._known.add(node.id)
                    self._ask(node)
        self._hear_answers()

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise `UserError` if no machine has as many CPUs as a job needs."""
        most = max((machine.node.cpus for machine in self._there.values()), default=0)
        needed = max((job.threads for job in jobs), default=0)
        if not self._gpu and self._there and needed > most:
            raise UserError(
                f"some runs train on {needed} CPU threads, as on this machine, and no machine of the Ray cluster has "
                f"more than {most} CPUs; start Ray there with --num-cpus={needed} or use --executor local."
            )

    def free(self, job: Job) -> Machine | None:
        """The machine with the most room, if that is enough for the job."""
        best = max(self._there.values(), key=attrgetter("room"), default=None)
        return best if best and best.room >= self._need(job) else None

    def take(self, machine: Machine, job: Job) -> None:
        """A job is there from now on."""
        machine.room -= self._need(job)

    def leave(self, machine: Machine, job: Job) -> None:
        """It is over."""
        machine.room += self._need(job)

    def _need(self, job: Job) -> int:
        return 1 if self._gpu else job.threads

    def _ask(self, node: Node) -> None:
        where = self._affinity(node.id, soft=False)
        task = self._ray.remote(num_cpus=0, num_returns=2, max_retries=3)(answer)
        told, data = task.options(scheduling_strategy=where).remote(self._inquiry)
        self._asked[told] = node, data

    def _hear_answers(self) -> None:
        if not self._asked:
            return
        for told in self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)[0]:
            node, data = self._asked.pop(told)
            try:
                self._meet(node, self._ray.get(told), data)
            except self._ray.exceptions.RayError as error:
                # It may come again, under another number.
                self._refuse(node, " ".join(str(error).split())[:200])

    def _meet(self, node: Node, told: Answer, data: Any) -> None:
        if why := difference(self._code, told):
            self._refuse(node, why)
            return
        own = node.id != self._here and told.has_data
        if not own and node.id != self._here and (why := self._why_not_sent(node)):
            self._refuse(node, f"it has not the data, and {why}")
            return
        room = node.gpus * self.jobs_a_gpu if self._gpu else node.cpus
        self._there[node.id] = Machine(node, data if own else self._data, room)
        ours = versions() | {"Python": platform.python_version()}
        others = [f"{name} {told.versions.get(name)}" for name in ours if ours[name] != told.versions.get(name)]
        if others and (sentence := f"other versions than here: {', '.join(others)}") not in self._told:
            self._told.add(sentence)
            self._say(f"{told.host} has {sentence}; records say which machine trained what")

    def _why_not_sent(self, node: Node) -> str | None:
        if not self._travels:
            return (
                "images that are read from their files while training are not sent: put them there where they are "
                "here, or where its --data-dir, KDBENCH_DATA or cache folder is"
            )
        if self._bytes > SHARE * node.store_bytes:
            return (
                f"{self._bytes / 1e9:.1f} GB are too much for its object store of {node.store_bytes / 1e9:.1f} GB: put "
                "them there as on this machine (--data-dir), or give `ray start` more --object-store-memory"
            )
        return None

    def _refuse(self, node: Node, why: str) -> None:
        self._refused.append(f"{node.host} ({node.id[:6]}): {why}")
        self._say(f"{node.host} gets nothing to train: {why}")
