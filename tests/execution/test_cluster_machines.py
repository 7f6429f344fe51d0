"""Which machines of a cluster take part, and what is said of the others, with answers that are made up."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch

from kdbench.data.streamed import make_streamed_dataset
from kdbench.environment.sources import Code
from kdbench.environment.versions import versions
from kdbench.execution.cluster import machines
from kdbench.execution.cluster.inquiry import Answer, code_of, kinds
from kdbench.execution.cluster.machines import Machines
from kdbench.execution.jobs import Job
from kdbench.execution.options import Options
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from tests.training.support import CPU, noise_dataset, runs

REGISTRY, DATA, GROUP = load_plugins(), noise_dataset(), runs("student", "kd")
CODE = code_of(kinds(GROUP), REGISTRY)


class Ray(ModuleType):
    """A cluster: `answers` by host; the driver's machine has none and is not asked, for it has no CPU."""

    exceptions = SimpleNamespace(RayError=ConnectionError)

    def __init__(self, answers, cpus=1, gpus=0, store_bytes=10**9):
        super().__init__("ray")
        self.answers = answers
        self._resources = {"CPU": cpus, "GPU": gpus, "object_store_memory": store_bytes}

    def nodes(self):
        driver = {"NodeID": "driver", "NodeManagerHostname": "driver", "Resources": {}, "Alive": True}
        there = {"Resources": self._resources, "Alive": True}
        return [driver, *({"NodeID": host, "NodeManagerHostname": host} | there for host in self.answers)]

    def remote(self, **_):
        return lambda task: SimpleNamespace(options=lambda scheduling_strategy: self._task(scheduling_strategy))

    def _task(self, host):
        return SimpleNamespace(remote=lambda inquiry: (host, f"the data of {host}"))

    def wait(self, told, **_):
        return told, []

    def get(self, host):
        if isinstance(self.answers[host], Exception):
            raise self.answers[host]
        return self.answers[host]

    def put(self, value):
        return "the driver's data"

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "driver")


@pytest.fixture
def meet(monkeypatch):
    """`meet(answers, …)`: the machines, what was said of them, and the cluster."""

    def met(answers, dataset=DATA, device=CPU, workers=0, **has):
        ray, said = Ray(answers, **has), []
        strategies = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node_id, soft: node_id)
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
        there = Machines(REGISTRY, dataset, Options(device, workers=workers), GROUP, "noise", None, said.append)
        there.meet()
        return there, said, ray

    return met


def alike(host, **other):
    known = versions() | {"Python": ".".join(map(str, sys.version_info[:3]))}
    return replace(Answer(host, known, code=CODE), **other)


def job(threads=1):
    return Job(GROUP, threads)


def test_one_that_differs_is_named_and_gets_nothing(meet):
    name = next(iter(CODE.files))
    other = Code(CODE.files | {name: "0" * 64}, CODE.packages)
    there, said, _ = meet({"good": alike("good"), "bad": alike("bad", code=other)})
    assert said == [f"bad gets nothing to train: it has other code than this machine: {name}"]
    machine = there.free(job())
    assert machine.node.host == "good"
    there.take(machine, job())
    assert there.free(job()) is None
    there.leave(machine, job())
    assert there.free(job()) is machine


def test_where_all_differ_nothing_begins(meet):
    with pytest.raises(UserError, match=r"no machine .* can train this: bad \(bad\): it has other code"):
        meet({"bad": alike("bad", code=Code({"x": "1"}))})
    with pytest.raises(UserError, match=r"can train this: gone .*: worker died"):
        meet({"gone": ConnectionError("worker\n died")})


def test_other_versions_are_told_once(meet):
    other = versions() | {"torch": "1.0", "Python": "3.0"}
    answers = {host: alike(host, versions=other) for host in ("one", "two")}
    there, said, _ = meet(answers)
    assert said == ["one has other versions than here: torch 1.0, Python 3.0; records say which machine trained what"]
    assert there.free(job())


def test_data_are_taken_where_they_are_and_sent_elsewhere(meet):
    there, _, _ = meet({"has": alike("has", has_data=True), "not": alike("not")})
    found = {}
    while machine := there.free(job()):
        found[machine.node.host] = machine.data
        there.take(machine, job())
    assert found == {"has": "the data of has", "not": "the driver's data"}


def test_data_that_are_too_large_to_send_are_refused_before_training(meet):
    with pytest.raises(
        UserError, match=r"it has not the data, and 0\.0 GB are too much for its object store of 0\.0 GB"
    ):
        meet({"small": alike("small")}, store_bytes=1000)
    there, _, _ = meet({"has": alike("has", has_data=True)}, store_bytes=1000)
    assert there.free(job())


def test_images_in_files_are_never_sent(meet):
    class Listed(SimpleNamespace):
        def __len__(self):
            return len(self.labels)

    split = Listed(labels=torch.tensor([0, 1]))
    info = replace(DATA.info, num_classes=2, train_size=2, test_size=2, input_size=None, checksum="c" * 64)
    streamed = make_streamed_dataset(info, ("a", "b"), split, split)
    there, said, _ = meet({"has": alike("has", has_data=True), "not": alike("not")}, streamed)
    assert there.free(job()).node.host == "has"
    assert len(said) == 1 and "not gets nothing to train: it has not the data, and images that are read" in said[0]


def test_who_joins_late_is_asked_and_who_is_gone_gets_nothing(meet, monkeypatch):
    there, said, ray = meet({"first": alike("first")})
    monkeypatch.setattr(machines, "LOOK_SECONDS", 0.0)
    ray.answers = {"late": alike("late"), "other": alike("other", numeric_version=0)}
    there.look()
    assert there.free(job()).node.host == "late"
    assert [sentence.partition(":")[0] for sentence in said] == ["other gets nothing to train"]


def test_what_no_machine_can_ever_take_is_refused(meet):
    there, _, _ = meet({"one": alike("one")}, cpus=2)
    there.check([job(2)])
    with pytest.raises(UserError, match=r"train on 3 CPU threads.* no machine of the Ray cluster has more than 2 CPUs"):
        there.check([job(3)])
    with pytest.raises(UserError, match="can train this: none has a GPU"):
        meet({"one": alike("one")}, device=torch.device("cuda"))


def test_several_cohorts_share_a_gpu_as_told(meet):
    there, _, _ = meet({"one": alike("one")}, device=torch.device("cuda"), workers=2, gpus=2)
    for _ in range(4):
        there.take(there.free(job(3)), job(3))
    assert there.free(job()) is None
