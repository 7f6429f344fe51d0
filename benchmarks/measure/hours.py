"""Stages for a night on a GPU: tests, benchmarks, and the tables that a plan lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.measure.measurement import Measurement

TABLE1 = "kd,fitnet,at,vid,dsn,byot,dks,dskd"
PAIR = "resnet32x4:resnet8x4"
#: What --set changes single values of.
RECIPE = "crd60"
LIMITS = {"checks": 600.0, "kernels": 300.0, "train": 600.0, "grid": 28800.0, "switches": 7200.0}


def limits(given: list[str]) -> dict[str, float]:
    """Most seconds of each stage. Raises `ValueError` with a sentence for what is not STAGE=SECONDS."""
    found = dict(LIMITS)
    for text in given:
        stage, _, seconds = text.partition("=")
        if stage not in LIMITS or not seconds.isdigit():
            raise ValueError(f"--limit takes STAGE=SECONDS, not '{text}'; there are {', '.join(LIMITS)}.")
        found[stage] = float(seconds)
    return found


def checks(given: Measurement) -> bool:
    run = given.runner
    codes = [
        run.python("pytest", "-q", "-m", "gpu", "tests"),
        run.python("pytest", "-q", "tests/losses"),
        run.kdbench("verify", "--device", given.device, "--pairs", PAIR),
    ]
    return not any(codes)


def kernels(given: Measurement) -> bool:
    return not given.runner.kdbench(
        "bench", "kernels", "--device", given.device, "--json", into=given.bench / "kernels.json"
    )


def train(given: Measurement) -> bool:
    words = [
        "bench",
        "train",
        "--pair",
        PAIR,
        "--methods",
        TABLE1,
        "--device",
        given.device,
        "--dataset",
        given.dataset,
    ]
    codes = [
        given.runner.kdbench(*words, "--precision", name, "--json", into=given.bench / f"train-{name}.json")
        for name in ("bf16", "fp32")
    ]
    return not any(codes)


def _planned(given: Measurement, stage: str) -> bool:
    """The plan's lines for a stage, one after the other; then what is seen of all of them."""
    options = ["--recipe", RECIPE, *given.sets(), "--dataset", given.dataset, "--results", given.results]
    codes = []
    for line in given.plan.read_text().splitlines():
        named, _, words = line.partition(":")
        if named == stage:
            codes.append(given.runner.kdbench(*words.split(), "--device", given.device, *options))
    given.runner.python("benchmarks.measure.views", given.runner.folder / "report", given.plan, *options)
    return not any(codes)


def grid(given: Measurement) -> bool:
    return _planned(given, "grid")


def switches(given: Measurement) -> bool:
    return _planned(given, "switches")


STAGES: Mapping[str, Callable[[Measurement], bool]] = {
    "checks": checks,
    "kernels": kernels,
    "train": train,
    "grid": grid,
    "switches": switches,
}
