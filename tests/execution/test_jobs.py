"""The pieces in which runs are executed."""

import pytest
import torch

from kdbench.execution.jobs import make_jobs
from kdbench.plugins import load_plugins
from kdbench.store.store import Store
from kdbench.training.flops import ForwardFlops
from tests.gpu import CPU, CUDA
from tests.training.support import noise_dataset, runs

FLOPS = ForwardFlops(load_plugins(), noise_dataset().info)
GROUP = runs("student", "kd", "dsn", "dskd")


def pieces(folder, device: torch.device, group=GROUP):
    return [[run.method for run in job.runs] for job in make_jobs(group, Store(folder), device, FLOPS)]


def test_on_cores_a_run_without_a_teacher_is_a_job_of_its_own_behind_the_longer_ones(tmp_path):
    assert pieces(tmp_path, CPU) == [["kd", "dskd"], ["student"], ["dsn"]]
    teachers = [run.teacher.trained_by for run in runs("kd") + runs("kd", pair="resnet20:resnet8")]
    assert pieces(tmp_path, CPU, teachers) == [["supervised"], ["supervised"]]


@pytest.mark.parametrize("device", [CUDA, CPU])
def test_what_takes_the_whole_device_shares_its_batches(tmp_path, monkeypatch, device):
    monkeypatch.setattr("kdbench.execution.threads.SMALL_BATCH_FLOPS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert sorted(pieces(tmp_path, device)) == [["kd", "dskd"], ["student", "dsn"]]
