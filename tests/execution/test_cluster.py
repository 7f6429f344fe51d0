"""Runs on several machines by Ray, which are processes of this one; what is refused before anything is trained."""

import itertools
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from kdbench.data.digits import Digits
from kdbench.environment.sources import Code
from kdbench.execution.cluster import connect
from kdbench.execution.cluster.connect import Node, connected, device_of
from kdbench.execution.cluster.inquiry import Answer, Inquiry, answer, code_of, difference, kinds
from kdbench.execution.cluster.parcel import pack, size, unpack
from kdbench.execution.options import Options
from kdbench.execution.plan import make_plan
from kdbench.execution.schedule import execute
from kdbench.execution.staleness import Present
from kdbench.hookspecs import hookimpl
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from tests.training.support import CPU, RECIPE, noise_dataset, outcome, runs

REGISTRY, DATA = load_plugins(), noise_dataset()
#: With a teacher, and a pre-stage that rests on it.
GROUP = runs("student", "kd", "mtkd_ssr", recipe=RECIPE.model_copy(update={"epochs": 3}))
HEAD = {"num_cpus": 0, "object_store_memory": 10**8, "include_dashboard": False}


def needs_ray(test):
    """The test starts a cluster, and is skipped with a reason where Ray is not installed."""
    missing = pytest.mark.skipif(connect.version() is None, reason="Ray is not installed: pip install 'kdbench[ray]'")
    return pytest.mark.long(missing(test))


@pytest.fixture(scope="module")
def cluster():
    """A machine for the driver, without a CPU to train on, and two with one each."""
    from ray.cluster_utils import Cluster

    # Not in pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        os.environ["RAY_TMPDIR"] = folder
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # Else other tests leave nothing to the processes that train.
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray spells it so)
        # How often a machine is asked whether it is there: who does not answer is given as much time as ever.
        os.environ["RAY_health_check_period_ms"] = "500"  # noqa: SIM112
        made = Cluster(initialize_head=True, head_node_args=HEAD)
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=10**8)
        yield made
        made.shutdown()


def carry_out(folder, stop_requested=lambda: False, **how):
    store = Store(folder)
    plan = make_plan(GROUP, store, Present(REGISTRY))
    options = Options(CPU, workers=1, checkpoint_seconds=0)
    return execute(plan, store, REGISTRY, DATA, options, stop_requested, **how)


def on(cluster):
    """What makes `carry_out` train there."""
    from kdbench.execution.cluster.executor import RayExecutor

    return {"make_executor": partial(RayExecutor, runs=GROUP, dataset_spec="noise", data_dir=None)}


def outcomes(folder):
    found = Store(folder).find()
    assert not found.damaged
    return {run_id: outcome(record) for run_id, record in found.records.items()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What this process alone comes to."""
    folder = tmp_path_factory.mktemp("expected")
    assert carry_out(folder).count("done") == 5
    return outcomes(folder)


class AfterAnEpoch:
    """An observer: does something once, when a run of some role has ended an epoch."""

    def __init__(self, role, act):
        self.role, self.act, self.done = role, act, False

    @hookimpl
    def kdbench_epoch_ended(self, run, epoch):
        if run.role == self.role and not self.done:
            self.done = True
            self.act()


@needs_ray
def test_the_same_bits_as_on_this_machine_though_a_worker_is_killed_and_a_machine_lost(
    cluster, expected, tmp_path, monkeypatch
):
    from kdbench.execution.cluster.executor import RayExecutor

    begin, begun = RayExecutor.begin, []

    def begin_and_kill(executor, job):
        begin(executor, job)
        begun.append(job)
        # As soon as there is a process of it: it may have ended when its first epoch is heard of.
        while len(begun) == 1 and not kill_a_task(cluster):
            time.sleep(0.01)

    monkeypatch.setattr(RayExecutor, "begin", begin_and_kill)
    lose = AfterAnEpoch("student", lambda: cluster.remove_node(another(cluster), allow_graceful=False))
    with connected(cluster.address), REGISTRY.observing(lose):
        assert sorted(node.cpus for node in connect.nodes()) == [0, 1, 1]
        summary = carry_out(tmp_path, **on(cluster))
    assert begun[0].runs in [job.runs for job in begun[1:]], "it began once more"
    assert lose.done and summary.count("done") == 5
    assert outcomes(tmp_path) == expected
    records = Store(tmp_path).find().records.values()
    assert {record.environment["host"] for record in records} == {socket.gethostname()}
    assert not any((tmp_path / "checkpoints").glob("*"))


@needs_ray
def test_a_stop_does_not_wait_for_room_that_others_have(cluster, tmp_path):
    import ray

    with connected(cluster.address):
        others = [ray.remote(num_cpus=1)(lambda: time.sleep(600)).remote() for node in connect.nodes() if node.cpus]
        asked = itertools.count()
        assert carry_out(tmp_path, lambda: next(asked) > 5, **on(cluster)).interrupted
        assert not outcomes(tmp_path) and not list((tmp_path / "claims").iterdir())
        for other in others:
            ray.cancel(other, force=True)


@needs_ray
def test_a_stop_keeps_what_there_is_and_a_machine_that_joins_late_helps(cluster, expected, tmp_path):
    stop = AfterAnEpoch("teacher", lambda: None)
    join = AfterAnEpoch("student", lambda: cluster.add_node(num_cpus=1, object_store_memory=10**8))
    with connected(cluster.address):
        with REGISTRY.observing(stop):
            assert carry_out(tmp_path, lambda: stop.done, **on(cluster)).interrupted
        assert outcomes(tmp_path).items() < expected.items()
        with REGISTRY.observing(join):
            assert not carry_out(tmp_path, **on(cluster)).interrupted
    assert outcomes(tmp_path) == expected


def another(cluster):
    """A machine that trains and is not the driver's, which Ray takes to be any of this host's: it would end with it."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    sockets = {node["NodeID"]: node["RayletSocketName"] for node in ray.nodes()}
    return next(node for node in cluster.worker_nodes if node.raylet_socket_name != sockets[here])


def kill_a_task(cluster):
    """SIGKILL to a process that trains, a child of one of the machines; whether there was one."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]
    for raylet in raylets:
        children = [path.read_text() for path in Path(f"/proc/{raylet}/task").glob("*/children")]
        for child in map(int, " ".join(children).split()):
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::train"):
                os.kill(child, signal.SIGKILL)
                return True
    return False


def test_data_travel_as_they_are():
    there = unpack(pack(DATA))
    assert there.checksum == DATA.checksum and (there.info, there.classes) == (DATA.info, DATA.classes)
    assert (there.train.images == DATA.train.images).all() and (there.test.labels == DATA.test.labels).all()
    assert size(DATA) == 30 * (8 * 8 * 3 + 8)


def test_a_machine_reads_the_data_that_it_has_and_no_others():
    inquiry = Inquiry(kinds(GROUP), (), "digits", None, Digits().load(None).checksum)
    told, data = answer(inquiry)
    assert told.has_data and unpack(data).checksum == inquiry.data_sha256
    assert difference(code_of(inquiry.runs, REGISTRY), told) is None
    for other in (replace(inquiry, data_sha256="0" * 64), replace(inquiry, dataset_spec="none")):
        told, data = answer(other)
        assert (told.has_data, data, told.refused) == (False, None, None)


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (Answer("h", refused="its plugins do not load: no such file"), "no such file"),
        (Answer("h", numeric_version=0), "numeric version 0"),
        (Answer("h", code=Code({"a": "1", "b": "3"}, {"p": "1"})), "it has other code than this machine: b"),
        (Answer("h", code=Code({"a": "1"}, {"p": "1"})), "it has other code than this machine: b"),
        (Answer("h", code=Code({"a": "1", "b": "2"}, {"p": "2"})), "it has other packages than this machine: p"),
        (Answer("h", code=Code({"a": "1", "b": "2"}, {"p": "1"})), None),
    ],
)
def test_who_differs_gets_nothing(there, why):
    said = difference(Code({"a": "1", "b": "2"}, {"p": "1"}), there)
    assert said is why is None or why in said


def test_a_plugin_file_that_is_not_there_is_a_reason(tmp_path):
    told, _ = answer(Inquiry(GROUP, (tmp_path / "mine.py",), "digits", None, ""))
    assert "mine.py does not exist" in told.refused


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("here", "takes auto or HOST:PORT"),
        ("10.0.0.1:port", "takes auto or HOST:PORT"),
        ("10.0.0.1:99999", "takes auto or HOST:PORT"),
        ("127.0.0.1:1", r"no Ray cluster answers at 127.0.0.1:1 \(.*start one with `ray start --head`"),
    ],
)
def test_no_cluster(monkeypatch, address, said):
    monkeypatch.setitem(sys.modules, "ray", object())
    with pytest.raises(UserError, match=said), connected(address):
        pass


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what listens there is no Ray"),
        (b"", "what listens there is no Ray"),
        (None, "timed out"),
    ],
)
def test_what_listens_there_is_no_ray(monkeypatch, answer, why):
    monkeypatch.setitem(sys.modules, "ray", object())
    monkeypatch.setattr(connect, "ANSWER_SECONDS", 5.0 if answer is not None else 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                if answer is not None:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                # Until the other side has gone.
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"no Ray cluster answers at {address} \({why}\)"), connected(address):
            pass
        thread.join()


def test_no_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"needs Ray, which is not installed; `pip install 'kdbench\[ray\]'`"),
        connected("auto"),
    ):
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.0.0"),
            "the same versions on all machines",
        ),
        (ConnectionError("Could not find any running Ray instance."), "no Ray cluster runs on this machine; start one"),
    ],
)
def test_a_cluster_that_takes_no_driver(monkeypatch, error, said):
    class Ray:
        @staticmethod
        def init(**_):
            raise error

    monkeypatch.setitem(sys.modules, "ray", Ray)
    with pytest.raises(UserError, match=said), connected("auto"):
        pass


def test_devices_of_a_cluster():
    small, large = Node("1", "a", 4, 0, 0), Node("2", "b", 8, 2, 0)
    assert device_of("auto", [small]).type == device_of("cpu", [small, large]).type == "cpu"
    assert device_of("auto", [small, large]).type == device_of("cuda", [large]).type == "cuda"
    with pytest.raises(UserError, match="no machine of the Ray cluster has a GPU"):
        device_of("cuda", [small])
    with pytest.raises(UserError, match="of one machine"):
        device_of("cuda:1", [large])
    assert connect.in_words([small, large])[0] == "Ray cluster: 2 machines, 12 CPUs, 2 GPUs"
