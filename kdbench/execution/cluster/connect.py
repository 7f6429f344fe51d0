"""The way to a Ray cluster, and what there is in it."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from kdbench.inputs.errors import UserError
from kdbench.inputs.wording import counted

#: How long a host may take to answer, in seconds.
ANSWER_SECONDS = 5.0
#: A frame of HTTP/2 that says nothing but its type (RFC 9113, 4.1 and 6.5), and what a client begins with (3.4).
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
_START = "start one with `ray start --head` (and `ray start --address=HOST:PORT` on every further machine)"


@dataclass(frozen=True)
class Node:
    """A machine of the cluster; `store_bytes` is the room in its object store."""

    id: str
    host: str
    cpus: int
    gpus: int
    store_bytes: int

    @classmethod
    def of(cls, described: dict[str, Any]) -> Node:
        """One out of Ray's own list."""
        has = described["Resources"]
        return cls(
            described["NodeID"],
            described["NodeManagerHostname"],
            int(has.get("CPU", 0)),
            int(has.get("GPU", 0)),
            int(has.get("object_store_memory", 0)),
        )


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Inside the context this process is a driver of the cluster at `address`, which is HOST:PORT or `auto`.

    Raises `UserError` where Ray is not installed, where there is no cluster, or one of another Ray or Python version.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray, which is not installed; `pip install 'kdbench[ray]'`.") from None
    if address != "auto":
        _reach(address)
    # Of a reused worker Ray would say that GPUs are hidden from it.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except Exception as error:
        raise UserError(_why(address, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def version() -> str | None:
    """The version of Ray that is installed here; None where it is not."""
    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return None


def nodes() -> list[Node]:
    """The machines that are there now."""
    import ray

    listed: list[dict[str, Any]] = ray.nodes()
    return [Node.of(described) for described in listed if described["Alive"]]


def in_words(machines: list[Node]) -> list[str]:
    """What the cluster has, and what each machine of it."""
    cpus, gpus = sum(node.cpus for node in machines), sum(node.gpus for node in machines)
    total = f"Ray cluster: {counted(len(machines), 'machine')}, {cpus} CPUs, {gpus} GPUs"
    return [total, *(f"  {node.host}: {node.cpus} CPUs, {node.gpus} GPUs" for node in machines)]


def device_of(name: str, machines: list[Node]) -> torch.device:
    """The kind of device that `auto`, `cpu` or `cuda` stands for there. Raises `UserError` where no machine has one."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {name} is of one machine; with --executor ray give auto, cpu or cuda.")
    there = any(node.gpus for node in machines)
    if name == "cuda" and not there:
        raise UserError("no machine of the Ray cluster has a GPU (`ray status` lists what there is); use --device cpu.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def _reach(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise UserError(f"--address takes auto or HOST:PORT, such as 10.0.0.1:6379, not '{address}'.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS) as connection:
            # Ray itself waits for minutes for what does not speak gRPC, which is HTTP/2. Encrypted it is left to Ray.
            speaks = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true") or _speaks_http2(connection)
    except OSError as error:
        speaks, why = False, error.strerror or str(error)
    else:
        why = "what listens there is no Ray"
    if not speaks:
        raise UserError(f"no Ray cluster answers at {address} ({why}); give another --address, or {_START}.")


def _speaks_http2(connection: socket.socket) -> bool:
    connection.sendall(_HELLO)
    with connection.makefile("rb") as answers:
        # The first that a server says, unasked, is its settings; the type is behind three bytes of length.
        return answers.read(len(_SETTINGS))[3:4] == _SETTINGS[3:4]


def _why(address: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return (
            f"the Ray cluster at {address} cannot be used from here; install the same versions on all machines: {text}"
        )
    if address == "auto":
        return f"no Ray cluster runs on this machine; {_START}, or name one with --address HOST:PORT."
    return (
        f"the Ray cluster at {address} takes no driver from this machine ({text[:200]}); run `ray start "
        f"--address={address}` here first."
    )
