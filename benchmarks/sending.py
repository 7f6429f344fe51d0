"""What it takes to send CIFAR-100 to a machine of a Ray cluster, beside plain copies of as many bytes.

    python benchmarks/sending.py --data-dir DATA

The two machines are processes of this one (`ray.cluster_utils.Cluster`), started anew for each line, so that its first
sending is also the machine's first. What is sent is a data set as kdbench sends it, or one array of as many bytes; the
seconds go from the driver's first byte into its object store to the far process's having all. Beside them stands a copy
through a local connection.
"""

import argparse
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kdbench.data.cifar100 import Cifar100
from kdbench.execution.cluster.parcel import pack, size, unpack

TIMES = 4


class Far:
    """A process of the other machine, which has imported what it needs."""

    def ready(self):
        return True

    def take(self, parcel):
        return unpack(parcel).info.train_size if isinstance(parcel, dict) else parcel.size


def seconds_by_ray(make):
    """Of `TIMES` sendings one after the other of what `make` gives, to a machine that had none before."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 2 * 10**9})
    cluster.add_node(num_cpus=1, object_store_memory=2 * 10**9)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    node = next(node["NodeID"] for node in ray.nodes() if node["Resources"].get("CPU"))
    far = ray.remote(num_cpus=1)(Far).options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
    far = far.remote()
    ray.get(far.ready.remote())
    found = []
    for _ in range(TIMES):
        content = make()
        began = time.perf_counter()
        ray.get(far.take.remote(ray.put(content)))
        found.append(time.perf_counter() - began)
    ray.shutdown()
    cluster.shutdown()
    return found


def seconds_by_socket(count):
    """Of `TIMES` copies of as many bytes through a local connection."""
    content, found = os.urandom(count), []
    for _ in range(TIMES):
        near, there = socket.socketpair()
        taken = memoryview(bytearray(count))

        def take(there=there, taken=taken):
            at = 0
            while at < count:
                at += there.recv_into(taken[at:])

        taker = threading.Thread(target=take)
        taker.start()
        began = time.perf_counter()
        near.sendall(content)
        taker.join()
        found.append(time.perf_counter() - began)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    dataset = Cifar100().load(parser.parse_args().data_dir)
    count = size(dataset)
    plain = np.frombuffer(os.urandom(count), np.uint8)
    print(f"{count / 1e6:.0f} MB; seconds of the first sending and of {TIMES - 1} more")
    for name, found in (
        ("through a local connection", seconds_by_socket(count)),
        ("one array by Ray", seconds_by_ray(lambda: plain)),
        ("the data set by Ray", seconds_by_ray(lambda: pack(dataset))),
        ("one array by Ray", seconds_by_ray(lambda: plain)),
        ("the data set by Ray", seconds_by_ray(lambda: pack(dataset))),
    ):
        print(f"{name}: {' '.join(f'{one:.2f}' for one in found)}", flush=True)
