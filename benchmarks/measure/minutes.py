"""Stages for a few minutes on a GPU: whether it works, how fast training and kernels are, and a table of real runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure.measurement import Measurement
from benchmarks.measure.targets import judged

#: Most seconds of what comes before the table, to which they leave the rest and at least a third.
MOST = {"checks": 60.0, "train": 120.0, "kernels": 90.0}
TABLES_PART = 1 / 3
#: What a table's run does not spend on steps: starting, decoding the data, capturing; and then what is seen of it.
START, VIEWS = 40.0, 30.0
#: Seconds of an epoch whose pace could not be measured: only the shortest recipe is begun.
UNKNOWN = 1e6
LOSSES = ("kd", "ce_kd", "deep_kd", "deep_mse")
SEEDS = (0, 1, 2)
RECIPES = {"crd240": 240, "crd60": 60, "crd16": 16}


@dataclass(frozen=True)
class Size:
    """What fits a kind of device: the pair, options of both benchmarks, the table's selection and settings."""

    pair: str
    train: tuple[str, ...]
    kernels: tuple[tuple[str, ...], ...]
    table: tuple[str, ...]
    settings: tuple[str, ...]


SIZES = {
    "cuda": Size(
        "wrn_40_2:wrn_16_2",
        ("--methods", "kd,fitnet,at,vid,dsn,byot,dks,dskd", "--members", "1", "--members", "8", "--precision", "bf16"),
        # What torch.compile makes of the reference comes last, since it takes minutes to make.
        (
            ("--sizes", "paper,beyond", "--implementations", "reference,analytic,triton"),
            ("--sizes", "paper", "--implementations", "reference,compiled,triton"),
        ),
        ("--grid", "cifar100_short", "--methods", "student,kd,dskd"),
        ("recipe.precision=bf16",),
    ),
    "cpu": Size(
        "resnet14:resnet8",
        ("--methods", "kd,dskd", "--members", "2", "--steps", "2", "--precision", "bf16"),
        (("--sizes", "paper", "--implementations", "reference,analytic"),),
        ("--grid", "quick", "--pairs", "resnet14:resnet8", "--methods", "student,kd,dskd"),
        ("recipe.precision=bf16", "recipe.epochs=1", "recipe.milestones=[]", "recipe.max_steps=4"),
    ),
}


def limits(left: Iterable[str], seconds: float) -> dict[str, float]:
    """Most seconds of each stage that is left, out of `seconds` for all of them."""
    left = list(left)
    fixed = {name: MOST[name] for name in left if name in MOST}
    room = seconds * (1 - TABLES_PART if "table" in left else 1)
    scale = min(1.0, room / sum(fixed.values())) if fixed else 1.0
    return {name: most * scale for name, most in fixed.items()} | {"table": seconds}


def longest(pace: Mapping[str, float], seconds: float) -> str:
    """The longest recipe that ends within `seconds`, at `pace["epoch_seconds"]`; the shortest where none does."""
    fitting = [name for name, epochs in RECIPES.items() if START + epochs * pace["epoch_seconds"] <= seconds]
    return fitting[0] if fitting else list(RECIPES)[-1]


def checks(given: Measurement) -> bool:
    """Whether a GPU gives what a CPU and an eager step give."""
    report = given.bench / "checks.json"
    return not given.runner.python("benchmarks.measure.checks", given.device, _size(given).pair, report)


def train(given: Measurement) -> bool:
    """Students an hour of the engine and of both loops; on noise, for pixels change no time and decoding takes some."""
    size = _size(given)
    _go_without(given)
    words = ["bench", "train", "--pair", size.pair, *size.train, "--device", given.device]
    words += ["--data-dir", given.runner.folder / "no data"]
    return not given.runner.kdbench(*words, "--json", into=given.bench / "train-bf16.json")


def kernels(given: Measurement) -> bool:
    """The loss operators at the paper's size and beyond the caches."""
    codes = [
        given.runner.kdbench(
            "bench", "kernels", *words, "--device", given.device, "--json", into=given.bench / f"kernels-{number}.json"
        )
        for number, words in enumerate(_size(given).kernels, 1)
    ]
    return not any(codes)


def table(given: Measurement) -> bool:
    """A teacher, then the students of as many seeds as there is time for, by the longest recipe that fits."""
    run, file = given.runner, given.bench / "pace.json"
    size = _size(given)
    _go_without(given)
    if not file.exists():
        run.python("benchmarks.measure.pace", given.device, size.pair, into=file)
    pace = json.loads(file.read_text()) if file.exists() else {"epoch_seconds": UNKNOWN}
    if "recipe" not in pace:
        pace["recipe"] = longest(pace, run.left - VIEWS)
        # What is begun is gone on with, however much time the next call has.
        if run.left > VIEWS:
            file.write_text(json.dumps(pace, indent=1))
    options = ["--recipe", pace["recipe"], *given.sets(*size.settings)]
    options += [*size.table, "--dataset", given.dataset, "--results", given.results]
    # Cohorts side by side are worth measuring where there are many; with a few, it is a minute lost.
    words = ["run", *options, "--device", given.device, "--workers", 1]
    code = 0
    for seed in SEEDS:
        # One after the other, so that the first has all its methods before the next begins.
        code = code or run.kdbench(*words, "--seeds", seed, seconds=run.left - VIEWS)
    run.python("benchmarks.measure.views", given.runner.folder / "report", "-", *options)
    return not code


def summary(work: Path) -> str:
    """What was found so far, beside what is aimed at."""
    return judged(work / "bench")


def _go_without(given: Measurement) -> None:
    """Have training do without what `checks` saw fail: Triton's kernels, or captured steps."""
    report = given.bench / "checks.json"
    found = json.loads(report.read_text()) if report.exists() else {}
    if any(not part["ok"] for name, part in found.items() if name in LOSSES):
        given.runner.variables["KDBENCH_LOSS_BACKEND"] = "analytic"
    if not found.get("step", {}).get("works", True):
        given.runner.variables["KDBENCH_STEP"] = "eager"


def _size(given: Measurement) -> Size:
    return SIZES[given.device.partition(":")[0]]


STAGES: Mapping[str, Callable[[Measurement], bool]] = {
    "checks": checks,
    "train": train,
    "kernels": kernels,
    "table": table,
}
