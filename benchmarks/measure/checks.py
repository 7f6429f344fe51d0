"""`python -m benchmarks.measure.checks DEVICE PAIR FILE`: whether a device computes what it should, in a minute.

Each loss operator by what `auto` takes there against the reference in float64; the step that training takes there
against an eager one, bit for bit in deterministic mode; and what `kdbench doctor` says. FILE is written anew after
each, so that it has what there was time for. Exit code 1 where one differs.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdbench import losses
from kdbench.bench.train_data import noise
from kdbench.bench.train_loops import Setting
from kdbench.cli.doctor import examine
from kdbench.data.batches import Batches
from kdbench.data.dataset import DatasetInfo
from kdbench.plugins import load_plugins
from kdbench.recipe import load_recipe
from kdbench.training.concurrency import make_step
from kdbench.training.numerics import CUBLAS_WORKSPACE, numerics
from kdbench.training.step import EagerStep, Lockstep, Step

#: ‖found − exact‖ / ‖exact‖ in float32 with float32 accumulation.
TOLERANCE = 1e-4
METHODS = ("student", "kd", "dskd")
#: Two whole batches and a short one.
IMAGES, BATCH = 144, 64


class Differs(Exception):
    """It works, and gives something else than it should."""


def main(device: torch.device, pair: str, file: Path) -> int:
    """Write what was found as JSON; the number of what differs or raises."""
    parts: dict[str, Callable[[], Any]] = {
        "doctor": lambda: examine(None, Path("results/runs"), []),
        **{name: lambda name=name: loss(name, device) for name in ("kd", "ce_kd", "deep_kd", "deep_mse")},
        "step": lambda: step(device, *pair.split(":")),
    }
    found: dict[str, Any] = {}
    for name, part in parts.items():
        began = time.perf_counter()
        try:
            found[name] = {"ok": True, "found": part()}
        except Exception as error:  # of any kind: the others have their turn
            traceback.print_exc()
            found[name] = {"ok": False, "found": f"{type(error).__name__}: {error}"}
            found[name]["works"] = isinstance(error, Differs)
        found[name]["seconds"] = time.perf_counter() - began
        print(f"{name}: {'fine' if found[name]['ok'] else found[name]['found']}", flush=True)
        file.write_text(json.dumps(found, indent=1))
    return sum(not part["ok"] for part in found.values())


def loss(name: str, device: torch.device) -> dict[str, float]:
    """The largest relative errors of an operator's losses and gradients at the paper's size; raises where they are."""
    exact = _arguments(name, torch.float64, torch.device("cpu"))
    errors = {}
    for what, ours, theirs in zip(
        ("losses", "gradients"),
        _computed(getattr(losses, name), _arguments(name, torch.float32, device)),
        _computed(partial(getattr(losses, name), backend="reference"), exact),
        strict=True,
    ):
        errors[what] = max(float((a.cpu() - b).norm() / b.norm()) for a, b in zip(ours, theirs, strict=True))
        if not errors[what] < TOLERANCE:  # a NaN as well
            raise Differs(f"the {what} of {name} differ from the reference's by {errors[what]:.2g}")
    return errors


def _arguments(name: str, dtype: torch.dtype, device: torch.device) -> list[Any]:
    """Two heads and a last one for the deep losses, else one; logits [64, 100] or maps [64, 256, 8, 8]."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*, head: bool) -> Tensor:
        shape = (64, 256, 8, 8) if name == "deep_mse" else (64, 100)
        return (3 * torch.randn(shape, generator=generator)).to(device, dtype).requires_grad_(head)

    if name.startswith("deep"):
        return [drawn(head=False), [drawn(head=True) for _ in range(2)], drawn(head=True)]
    labels = [torch.randint(100, (64,), generator=generator).to(device)] if name == "ce_kd" else []
    return [drawn(head=True), drawn(head=False), *labels]


def _computed(operator: Callable[..., Any], arguments: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
    flat = [x for given in arguments for x in (given if isinstance(given, list) else [given])]
    heads = [x for x in flat if x.requires_grad]
    result = operator(*arguments)
    losses = list(result) if isinstance(result, tuple) else [result]
    # Upstream gradients other than 1, which a fused backward pass has to look at.
    total = sum((number * value for number, value in enumerate(losses, 2)), torch.zeros((), device=heads[0].device))
    return [value.detach() for value in losses], list(torch.autograd.grad(total, heads))


def step(device: torch.device, teacher: str, student: str) -> str:
    """Train some steps twice, eagerly and as training does on the device. Raises where a bit differs."""
    data = noise(DatasetInfo("noise", 100, 32, IMAGES, BATCH))
    recipe = load_recipe("crd240", {"batch_size": BATCH, "precision": "bf16"})
    setting = Setting(load_plugins(), data, teacher, student, recipe, device)
    frozen = setting.frozen_teacher(torch.channels_last)

    def trained(make: Callable[[Lockstep], Step]) -> list[list[Tensor]]:
        members = [setting.member(method, 0, frozen, "bf16") for method in METHODS]
        batches = Batches(data, augmentation=recipe.augmentation, batch_size=BATCH, seed=0, device=device)
        batches.epoch(1)
        taken = make(Lockstep.of(members, frozen, batches))
        for number in range(batches.steps):
            for member, error in taken(1, number):
                raise RuntimeError(f"the step of '{member.run.method}' fails") from error
        return [member.snapshot() for member in members]

    with numerics("bf16", deterministic=True):
        eager = trained(EagerStep)
        taken = trained(lambda work: make_step(work, device, len(METHODS)))
    differing = [
        method
        for method, ours, theirs in zip(METHODS, taken, eager, strict=True)
        if not all(map(torch.equal, ours, theirs))
    ]
    if differing:
        raise Differs(f"after {-(-IMAGES // BATCH)} steps {', '.join(differing)} differ from eager ones")
    return f"{', '.join(METHODS)}: the same bits"


if __name__ == "__main__":
    os.environ.setdefault(*CUBLAS_WORKSPACE)  # before the first product, deterministic or not
    sys.exit(min(main(torch.device(sys.argv[1]), sys.argv[2], Path(sys.argv[3])), 1))
