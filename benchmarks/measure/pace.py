"""`python -m benchmarks.measure.pace DEVICE PAIR`: how long an epoch of a teacher and of its students takes, as JSON.

Training steps as `kdbench run` takes them, and evaluations; on noise of CIFAR-100's shape and a part of its size.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import replace

import torch

from kdbench.bench.report import measured_on
from kdbench.bench.train_data import noise
from kdbench.bench.train_loops import Setting
from kdbench.data.batches import EVAL_BATCH, eval_batches
from kdbench.plugins import load_plugins
from kdbench.recipe import load_recipe
from kdbench.store.progress import Progress
from kdbench.training.cohort import Cohort
from kdbench.training.evaluation import tally
from kdbench.training.numerics import numerics

MODULE = "benchmarks.measure.pace"
METHODS = ("student", "kd", "dskd")
#: Images to train on and to evaluate, instead of all: making them and going through them takes time.
IMAGES, TESTED = 2000, 1000


def main(device: torch.device, teacher: str, student: str) -> None:
    """Print steps and evaluations in seconds, and what an epoch of all comes to."""
    recipe, registry = load_recipe("crd240", {"precision": "bf16"}), load_plugins()
    info = registry.dataset("cifar100").info(None)
    data = noise(replace(info, train_size=IMAGES, test_size=TESTED))
    students = Setting(registry, data, teacher, student, recipe, device)
    alone = Setting(registry, data, teacher, teacher, recipe, device)
    steps, tests = {}, {}
    for name, setting, methods in (
        ("teacher", alone, METHODS[:1]),
        # Who has no teacher trains apart from those who have.
        ("student", students, METHODS[:1]),
        ("others", students, METHODS[1:]),
        ("together", students, METHODS),
    ):
        steps[name], tests[name] = _paces(setting, methods)
    batches, parts = -(-info.train_size // recipe.batch_size), info.test_size / TESTED
    found = {
        "pair": f"{teacher}:{student}",
        "students": METHODS,
        "step_seconds": steps,
        "evaluation_seconds": {name: parts * seconds for name, seconds in tests.items()},
        "epoch_seconds": sum(batches * steps[name] + parts * tests[name] for name in ("teacher", "student", "others")),
        "environment": measured_on(device) | {"command": shlex.join(["python", "-m", MODULE, *sys.argv[1:]])},
    }
    print(json.dumps(found, indent=1))


def _paces(setting: Setting, methods: tuple[str, ...]) -> tuple[float, float]:
    """Seconds of a step of a cohort, and of an evaluation of all its members."""
    frozen = setting.frozen_teacher(torch.channels_last)
    members = [setting.member(method, 0, frozen, "bf16") for method in methods]
    held = {member.run.method: (member, Progress(run_id=member.run.id)) for member in members}
    teacher = frozen if any(member.needs.teacher for member in members) else None
    step = Cohort(held, teacher, setting.dataset, setting.device, lanes=0).pace(lambda: None)
    data = setting.dataset
    test = data.test.to(setting.device)
    with numerics("bf16"):
        for _ in range(2):  # the second, for the first chooses algorithms
            began = time.perf_counter()
            batches = eval_batches(test, data.mean, data.std, EVAL_BATCH, setting.device)
            tally(members[0].deployed, batches, torch.bfloat16, setting.device).score()
    return step, len(members) * (time.perf_counter() - began)


if __name__ == "__main__":
    main(torch.device(sys.argv[1]), *sys.argv[2].split(":"))
