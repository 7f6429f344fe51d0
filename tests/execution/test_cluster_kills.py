"""A sweep of kills on a cluster: of workers, machines and drivers, at random moments, until all is trained."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdbench.execution.cluster import connect
from kdbench.store.store import Store

KILLS = int(os.environ.get("KDBENCH_KILLS", "0"))
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not KILLS, reason="takes minutes: KDBENCH_KILLS=20 says how many kills it makes"),
    pytest.mark.skipif(connect.version() is None, reason="Ray is not installed: pip install 'kdbench[ray]'"),
]
GRID = """
dataset: digits
recipe: {epochs: 6, batch_size: 32, max_steps: 16, milestones: [2], augmentation: {crop_padding: 1, flip: false}}
seeds: [0, 1]
tables:
  - name: first
    title: A tiny table
    pairs: [resnet14:resnet8]
    rows: [{method: student}, {method: dskd}, {method: mtkd_ssr}]
"""
RUNS = 8
#: The driver's machine, which trains nothing.
HEAD = {"num_cpus": 0, "object_store_memory": 10**8, "include_dashboard": False}


def start(folder, *words, within=()):
    """A `kdbench run` that prints to `folder/output`, started by the command `within`."""
    command = [sys.executable, "-m", "kdbench", "run", "--grid", str(folder / "grid.yaml"), "--checkpoint-seconds", "0"]
    with (folder / "output").open("a") as output:
        return subprocess.Popen(
            [*within, *command, "--results", str(folder / "results"), *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def outcomes(folder):
    found = Store(folder / "results").find()
    assert not found.damaged
    assert {record.status for record in found.records.values()} <= {"done"}, (folder / "output").read_text()
    return {name: (one.curve, one.weights_sha256, one.teacher_sha256) for name, one in found.records.items()}


def new(folder):
    folder.mkdir()
    (folder / "grid.yaml").write_text(GRID)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Else other tests leave nothing to the processes that train.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (Ray spells it so)
    made = Cluster(initialize_head=True, head_node_args=HEAD)
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=10**8)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = new(tmp_path_factory.mktemp("expected") / "local")
    assert start(folder, "--workers", "1").wait() == 0
    found = outcomes(folder)
    assert len(found) == RUNS
    return found


def tasks(cluster):
    """Processes that train, which are children of machines."""
    found = []
    for node in cluster.list_all_nodes():
        raylet = node.all_processes["raylet"][0].process.pid
        children = [path.read_text() for path in Path(f"/proc/{raylet}/task").glob("*/children")]
        for child in " ".join(children).split():
            with contextlib.suppress(FileNotFoundError):
                if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::train"):
                    found.append(int(child))
    return found


def lose_one(cluster, chance, drivers):
    """Something is killed; what, or None where there was nothing of the kind."""
    kind = chance.choice(["worker", "worker", "machine", "driver", "driver stopped"])
    if kind == "worker":
        while not (there := tasks(cluster)):
            if any(driver.poll() is not None for driver in drivers):
                return None
            time.sleep(0.05)
        os.kill(chance.choice(there), signal.SIGKILL)
    elif kind == "machine":
        machines = [node for node in cluster.list_all_nodes() if node is not cluster.head_node]
        cluster.remove_node(chance.choice(machines), allow_graceful=False)
        cluster.add_node(num_cpus=1, object_store_memory=10**8)
    else:
        driver = chance.choice(drivers)
        os.kill(driver.pid, signal.SIGKILL if kind == "driver" else chance.choice([signal.SIGTERM, signal.SIGINT]))
        driver.wait()
    return kind


@pytest.mark.parametrize("together", [1, 2])
def test_nothing_is_lost_and_nothing_trained_twice(cluster, expected, tmp_path, capsys, together):
    chance, killed, grids = random.Random(together), [], 0
    wanted = KILLS * 3 // 4 if together == 1 else KILLS - KILLS * 3 // 4
    words = "--executor", "ray", "--address", cluster.address
    while len(killed) < wanted:
        grids += 1
        folder = new(tmp_path / str(grids))
        drivers = [start(folder, *words) for _ in range(together)]
        while any(driver.poll() is None for driver in drivers):
            time.sleep(chance.uniform(1, 8))
            alive = [driver for driver in drivers if driver.poll() is None]
            if alive and len(killed) < wanted and (kind := lose_one(cluster, chance, alive)):
                killed.append(kind)
            if len(outcomes(folder)) < RUNS:
                drivers = [d if d.poll() is None else start(folder, *words) for d in drivers]
        assert outcomes(folder) == expected, (folder / "output").read_text()
        said = (folder / "output").read_text()
        assert "Traceback" not in said, said
        # Told as soon as it is kept: a run that is trained twice is told twice.
        told = [line.partition(":")[0] for line in said.splitlines() if " % (best " in line or ": loss " in line]
        assert len(told) == len(set(told)), said
    with capsys.disabled():
        counts = {kind: killed.count(kind) for kind in sorted(set(killed))}
        print(f"\n{len(killed)} kills {counts}, {together} drivers, {grids} grids: 0 lost, 0 trained twice")
