"""The command: options, installation, stages, and what goes home of them."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
import time
from pathlib import Path

from benchmarks.measure import hours, minutes
from benchmarks.measure.bundle import Bundle
from benchmarks.measure.install import describe, install
from benchmarks.measure.measurement import Measurement
from benchmarks.measure.stages import Runner, Stopped

HERE = Path(__file__).parent
#: What packing the results takes at most, in seconds; of a call of minutes it is kept free.
PACKING = 8.0
#: A Ctrl-C, a scheduler's order and a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(words: list[str]) -> None:
    began = time.monotonic()
    given = _options(words)
    plans = minutes.STAGES if given.minutes else hours.STAGES
    chosen = (given.stages or ",".join(plans)).split(",")
    for name in chosen:
        if name not in plans:
            _fail(f"unknown stage '{name}'; there are {', '.join(plans)}{'' if given.minutes else ' (and --minutes)'}.")
    if not given.plan.is_file():
        _fail(f"the plan {given.plan} cannot be read.")
    for name in ("bench", "done", "logs", "report", "results/records"):
        (given.work / name).mkdir(parents=True, exist_ok=True)
    work = given.work.resolve()
    ends = began + 60 * given.minutes - PACKING if given.minutes else float("inf")
    runner = Runner(work, ends)
    measurement = Measurement(
        runner, given.device, _dataset(given.data, given.dataset, work), given.set or [], given.plan
    )
    bundle = Bundle(work, given.output)
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _stop)
    try:
        install(runner, given.wheels)
        describe(work / "bench" / "environment.txt", shlex.join(["benchmarks/measure_gpu.sh", *words]), given.commit)
        left = [name for name in chosen if not (work / "done" / name).exists()]
        limits = minutes.limits(left, runner.left) if given.minutes else hours.limits(given.limit or [])
        for name in chosen:
            runner.stage(name, limits.get(name, 0.0), lambda name=name: plans[name](measurement))
            bundle.pack(minutes.summary(work) if given.minutes else "")
    except Stopped as stopped:
        bundle.pack(minutes.summary(work) if given.minutes else "")
        sys.exit(128 + stopped.number)
    print(f"{time.monotonic() - began:.0f} s in all")


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "measure_gpu.sh",
        description="A whole measurement on one GPU, from a source tree and without a network. Given again with the "
        "same --work, it goes on: a stage that is done is skipped, training goes on where it was. Paths are those seen "
        "from the root of the source tree.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--minutes", type=float, help="what fits into so many minutes, which the call never exceeds; else hours")
    add("--stages", help=f"{','.join(minutes.STAGES)} with --minutes, else {','.join(hours.STAGES)} (all, so ordered)")
    add("--limit", action="append", metavar="STAGE=SEC", help="most seconds of a stage of hours; may be repeated")
    add("--device", default="cuda", help="cuda; cpu shows that the script works, and measures nothing about a GPU")
    add("--dataset", default="cifar100", help="data set of the training stages, such as parquet:DIR (cifar100)")
    add(
        "--data",
        action="append",
        type=Path,
        metavar="DIR",
        help="parquet of the data set; repeated, where it lies apart",
    )
    add("--set", action="append", metavar="KEY=VALUE", help="recipe of the training stages; may be repeated")
    add("--plan", type=Path, help="what the training stages of hours train (plan.txt beside this module)")
    add("--wheels", type=Path, default=Path(".whl"), help="wheels of packages that this Python lacks (.whl)")
    add("--commit", default="", help="what the tree was made from, where it is no git checkout")
    add("--work", type=Path, default=Path("results/runs/measure"), help="records, checkpoints, weights and logs")
    add("--output", type=Path, default=Path("results/runs/measured"), help="where the packed results go, a few files")
    given = parser.parse_args(words)
    if given.minutes is not None and not 1 <= given.minutes <= 1000:
        _fail(f"--minutes takes 1 to 1000, not {given.minutes:g}.")
    for name in ("limit", "plan"):
        if given.minutes is not None and getattr(given, name) is not None:
            _fail(f"--{name} is of stages of hours; leave out --{name} or --minutes.")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", given.device):
        _fail(f"--device takes cuda, cuda:N or cpu, not '{given.device}'.")
    given.plan = given.plan or HERE / "plan.txt"
    try:
        hours.limits(given.limit or [])
    except ValueError as wrong:
        _fail(str(wrong))
    return given


def _dataset(folders: list[Path] | None, name: str, work: Path) -> str:
    """The data set's name; of parquet in several folders, that of one which links to all of its files."""
    if not folders:
        return name
    joined = work / "data" / "cifar100"
    joined.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        files = sorted(folder.glob("*.parquet"))
        if not files:
            _fail(f"--data: there is no parquet in {folder}.")
        for file in files:
            link = joined / file.name
            link.unlink(missing_ok=True)
            link.symlink_to(file.resolve())
    return f"parquet:{joined}"


def _stop(number: int, _frame: object) -> None:
    """Stop at the first signal; another could only cut off the packing."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _fail(sentence: str) -> None:
    print(f"measure_gpu.sh: {sentence}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
