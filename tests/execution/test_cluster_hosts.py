"""Two hosts without a common folder: network namespaces of one machine, each with a name and files of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kdbench.execution.cluster import connect
from kdbench.store.store import Store
from tests.execution.test_cluster_kills import GRID, RUNS, new, outcomes, start

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not os.environ.get("KDBENCH_HOSTS"), reason="takes minutes, and root: KDBENCH_HOSTS=1 asks for it"
    ),
    pytest.mark.skipif(connect.version() is None, reason="Ray is not installed: pip install 'kdbench[ray]'"),
    pytest.mark.skipif(not shutil.which("ip"), reason="this system has no network namespaces"),
]
NAMES, ADDRESSES, PORT = ("kdbench-a", "kdbench-b"), ("10.77.0.1", "10.77.0.2"), 6391
#: Of the head, since it is Ray's head that looks after machines (docs/many-machines.md).
WATCHFUL = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "200",
    "RAY_health_check_timeout_ms": "300",
    "RAY_health_check_failure_threshold": "2",
}


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def on(host, hidden, *command):
    """A command on a host: its name, its memory and, in place of `hidden`, an empty folder are its own."""
    script = 'hostname "$1"; shift; for folder in $1; do mount -t tmpfs none "$folder"; done; shift; exec "$@"'
    wrapped = ["unshare", "--uts", "bash", "-c", script, "-", NAMES[host], " ".join(map(str, hidden)), *command]
    return ["ip", "netns", "exec", NAMES[host], *wrapped]


@pytest.fixture
def hosts():
    """Two hosts that reach each other."""
    with contextlib.ExitStack() as made:
        for name in NAMES:
            ip("netns", "add", name)
            made.callback(ip, "netns", "delete", name)
        ip("link", "add", "kdb-a", "netns", NAMES[0], "type", "veth", "peer", "name", "kdb-b", "netns", NAMES[1])
        for name, link, address in zip(NAMES, ("kdb-a", "kdb-b"), ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            for one in ("lo", link):
                ip("-n", name, "link", "set", one, "up")
        yield


@pytest.fixture
def cluster(hosts, tmp_path):
    """Ray on both; the first, which is the driver's, has no CPU to train on, and the second sees no results."""
    # Not in pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder, contextlib.ExitStack() as up:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        head = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}"]
        for host, hidden, words in ((0, [], head), (1, [tmp_path, folder, "/dev/shm"], ["--num-cpus=1"])):
            words = [*words, f"--node-ip-address={ADDRESSES[host]}", "--object-store-memory=100000000"]
            words += [] if host == 0 else [f"--address={ADDRESSES[0]}:{PORT}"]
            started = subprocess.Popen(
                on(host, hidden, *ray, *words),
                env=os.environ | WATCHFUL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            up.callback(started.wait)
            up.callback(started.terminate)
            time.sleep(10 if host == 0 else 0)
        yield f"{ADDRESSES[0]}:{PORT}"


def test_a_host_that_sees_none_of_the_results_gives_the_same_bits(cluster, tmp_path):
    here, there = new(tmp_path / "here"), new(tmp_path / "there")
    assert (here / "grid.yaml").read_text() == GRID
    assert start(here, "--workers", "1").wait() == 0
    expected = outcomes(here)
    assert len(expected) == RUNS
    driver = start(there, "--executor", "ray", "--address", cluster, within=on(0, []))
    assert driver.wait() == 0, (there / "output").read_text()
    assert outcomes(there) == expected
    hosts = {record.environment["host"] for record in Store(there / "results").find().records.values()}
    assert hosts == {NAMES[1]}
    assert not [*Path(there / "results" / "checkpoints").iterdir()]
