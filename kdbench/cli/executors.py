"""Where `kdbench run` trains: on this machine, or on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from kdbench.cli.session import Session
from kdbench.environment.device import describe_device, describe_devices
from kdbench.environment.gpus import Gpu, chosen_gpus, device_of
from kdbench.execution.birth import expect_workers
from kdbench.execution.local import LocalExecutor
from kdbench.execution.plan import Plan
from kdbench.execution.schedule import MakeExecutor


@dataclass(frozen=True)
class Where:
    """The device, this machine's GPUs among it, in words; `executor_of(plan)` makes what trains there, and
    `prepare(plan)` is called as soon as it is known that it will. `cluster` has a line for each of its machines.
    """

    device: torch.device
    described: str
    executor_of: Callable[[Plan], MakeExecutor]
    prepare: Callable[[Plan], None]
    gpus: tuple[Gpu, ...] = ()
    cluster: tuple[str, ...] = ()

    @property
    def measured_on(self) -> torch.device:
        """The device of this machine by which a plan's time is estimated."""
        return torch.device("cpu") if self.cluster else self.device

    @property
    def measured_described(self) -> str:
        """The same in words."""
        return describe_device(self.measured_on) if self.cluster else self.described


@contextmanager
def open_executor(session: Session, executor: str, address: str, device: str, workers: int) -> Iterator[Where]:
    """What `--executor`, `--address` and `--device` name, for as long as it is used. Raises `UserError` for what is not
    there.
    """
    if executor == "local":
        yield _this_machine(device, workers)
        return
    from kdbench.execution.cluster import connect
    from kdbench.execution.cluster.executor import RayExecutor

    with connect.connected(address):
        machines = connect.nodes()

        def executor_of(plan: Plan) -> MakeExecutor:
            return partial(
                RayExecutor,
                runs=plan.to_train,
                dataset_spec=session.expansion.grid.dataset,
                data_dir=session.data.data_dir,
            )

        described = connect.in_words(machines)
        yield Where(
            connect.device_of(device, machines),
            described[0],
            executor_of,
            prepare=lambda plan: None,
            cluster=tuple(described),
        )


def _this_machine(device: str, workers: int) -> Where:
    gpus = tuple(chosen_gpus(device))

    def prepare(plan: Plan) -> None:
        if len(plan.to_train) > 1 and (workers or torch.get_num_threads()) > 1:
            expect_workers()

    described = describe_devices(device_of(gpus), len(gpus))
    return Where(device_of(gpus), described, lambda plan: LocalExecutor, prepare, gpus)
