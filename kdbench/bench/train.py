"""The training benchmark: the engine against plain loops over the same networks and losses, timed in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdbench.bench.timing import Timing, seconds_of
from kdbench.bench.train_loops import Engine, PlainLoop, Setting
from kdbench.execution.options import CHECKPOINT_SECONDS
from kdbench.model import place
from kdbench.recipe import Precision
from kdbench.store.progress import Progress
from kdbench.training.checkpoint import save_checkpoint
from kdbench.training.flops import forward_flops
from kdbench.training.member import Member
from kdbench.training.numerics import numerics

#: A CPU has nothing to compile; on CUDA the first steps choose algorithms and capture.
WARM_UP = {"cpu": 1, "cuda": 5}
#: What measures a device's peak, in a small and a large size: the side of square matrices, and images of a 3×3
#: convolution of 512 channels at 8×8.
PEAK_SIDES = {"cpu": (256, 2048), "cuda": (1024, 8192)}
PEAK_IMAGES = {"cpu": (1, 64), "cuda": (64, 8192)}
PEAK_REPEATS = 10
#: How long a call of the large size may take: minutes pass where a CPU has no instructions for a precision.
PEAK_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """One way of training `students` for a step: `wall` and `busy` (CPU time of the process), in seconds.

    `of_plain` and `of_good` relate its median wall time to the plain and to the good loop's for the same students, one
    after the other; `busy_of_plain` its CPU time. `flops` are what its matrix products and convolutions take.
    """

    name: str
    students: int
    wall: Timing
    busy: Timing
    flops: int
    of_plain: float
    busy_of_plain: float
    of_good: float

    def students_per_hour(self, steps: int) -> float:
        """Students that end in an hour if each trains for `steps`; evaluation left out."""
        return self.students * 3600 / (steps * self.wall.median)


@dataclass(frozen=True)
class Result:
    """Rows, and what they are related to: the peak in FLOP/s and the steps of a run.

    `checkpoint_seconds` is what one checkpoint of every member takes in the cohort of `checkpoint_members`, the
    largest; `checkpoint_share` relates it to the default interval.
    """

    rows: list[Row]
    pair: str
    precision: str
    batch_size: int
    steps_of_a_run: int
    peak: float
    checkpoint_members: int
    checkpoint_seconds: float
    checkpoint_share: float
    notes: list[str]


def run_training(
    setting: Setting,
    methods: Sequence[str],
    *,
    members: Sequence[int],
    precision: Precision,
    rounds: int,
    lanes: int,
    notes: Sequence[str] = (),
    progress: Callable[[str], None] = lambda line: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Result:
    """Times one step of each method in the plain and in the good loop, and of cohorts of `members` students.

    Students beyond the number of methods take the methods again with the next seed. Every round times each way once.
    After a stop the present round, or the first, is the last one.
    """
    nchw = setting.frozen_teacher(torch.contiguous_format)
    teacher = setting.frozen_teacher(torch.channels_last)
    plain = {method: PlainLoop(setting, method, nchw) for method in methods}
    good = {method: Engine(setting, [(method, 0)], teacher, precision, 1) for method in methods}
    lists = {count: [(methods[n % len(methods)], n // len(methods)) for n in range(count)] for count in members}
    cohorts = {count: Engine(setting, runs, teacher, precision, lanes) for count, runs in lists.items()}
    flops = {method: _flops(loop) for method, loop in plain.items()}
    ways: dict[tuple[str, object], Callable[[], None]] = {
        **{("plain", method): loop for method, loop in plain.items()},
        **{("good", method): loop for method, loop in good.items()},
        **{("cohort", count): engine for count, engine in cohorts.items()},
    }
    wall, busy = _in_turns(ways, setting.device, rounds, progress, stop_requested)
    done = len(wall["plain", methods[0]])
    left_out = [f"Stopped after {done} of {rounds} rounds."] if done < rounds else []
    sharing = forward_flops(teacher.network, setting.dataset.info.side) * setting.recipe.batch_size

    def row(name: str, runs: Sequence[tuple[str, int]], keys: Sequence[tuple[str, object]], passes_saved: int) -> Row:
        own_wall, own_busy = _sum(wall, keys), _sum(busy, keys)
        loops = {kind: [(kind, method) for method, _ in runs] for kind in ("plain", "good")}
        return Row(
            name,
            len(runs),
            Timing.of(own_wall),
            Timing.of(own_busy),
            sum(flops[method] for method, _ in runs) - passes_saved * sharing,
            _ratio(own_wall, _sum(wall, loops["plain"])),
            _ratio(own_busy, _sum(busy, loops["plain"])),
            _ratio(own_wall, _sum(wall, loops["good"])),
        )

    rows = []
    for kind in ("plain", "good"):
        rows += [row(f"{kind} loop, {method}", [(method, 0)], [(kind, method)], 0) for method in methods]
        rows.append(row(f"{kind} loop, all", [(m, 0) for m in methods], [(kind, m) for m in methods], 0))
    for count, runs in lists.items():
        with_teacher = [seed for method, seed in runs if good[method].members[0].needs.teacher]
        rows.append(row(f"cohort of {count}", runs, [("cohort", count)], len(with_teacher) - len(set(with_teacher))))
    largest = cohorts[max(members)].members
    seconds = _checkpoint_seconds(largest)
    info = setting.dataset.info
    return Result(
        rows,
        f"{setting.teacher}:{setting.student}",
        precision,
        setting.recipe.batch_size,
        -(-info.train_size // setting.recipe.batch_size) * setting.recipe.epochs,
        peak(setting.device, precision),
        len(largest),
        seconds,
        seconds / CHECKPOINT_SECONDS,
        [*notes, *left_out],
    )


def _flops(step: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def _in_turns(
    ways: dict[tuple[str, object], Callable[[], None]],
    device: torch.device,
    rounds: int,
    progress: Callable[[str], None],
    stop_requested: Callable[[], bool],
) -> tuple[dict[tuple[str, object], list[float]], dict[tuple[str, object], list[float]]]:
    wall: dict[tuple[str, object], list[float]] = {key: [] for key in ways}
    busy: dict[tuple[str, object], list[float]] = {key: [] for key in ways}
    for number in range(-WARM_UP[device.type], rounds):
        if number > 0 and stop_requested():
            break
        progress(f"round {number + 1} of {rounds}" if number >= 0 else "warm-up")
        for key, way in ways.items():
            if number >= 0:
                way()  # untimed, for the first step after another way's finds that one's caches and heap
            began = time.process_time()
            seconds = seconds_of(way, device)
            if number >= 0:
                wall[key].append(seconds)
                busy[key].append(time.process_time() - began)
    return wall, busy


def _sum(times: dict[tuple[str, object], list[float]], keys: Sequence[tuple[str, object]]) -> list[float]:
    """Time of several ways one after the other, round by round."""
    return [sum(parts) for parts in zip(*(times[key] for key in keys), strict=True)]


def _ratio(own: list[float], other: list[float]) -> float:
    """Median over rounds of the ratio: what disturbs the machine disturbs both sides of a round."""
    return Timing.of([a / b for a, b in zip(own, other, strict=True)]).median


def peak(device: torch.device, precision: Precision) -> float:
    """FLOP/s of the fastest among a large matrix product and a large convolution in the recipe's precision; of small
    ones where a large one would take longer than `PEAK_SECONDS`.

    Both, for a CPU's libraries differ in them: matrix products alone were seen at half the rate of convolutions.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    layer = place(nn.Conv2d(512, 512, 3, padding=1, bias=False), device).to(dtype)

    def product(side: int) -> tuple[int, Callable[[], object]]:
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        return 2 * side**3, lambda: left @ right

    def convolution(images: int) -> tuple[int, Callable[[], object]]:
        maps = torch.randn(images, 512, 8, 8, device=device).to(dtype, memory_format=torch.channels_last)
        return 2 * layer.weight.numel() * images * 8 * 8, lambda: layer(maps)

    with torch.no_grad(), numerics(precision):
        return max(
            _rate(product, PEAK_SIDES[device.type], device), _rate(convolution, PEAK_IMAGES[device.type], device)
        )


def _rate(way: Callable[[int], tuple[int, Callable[[], object]]], sizes: Sequence[int], device: torch.device) -> float:
    """FLOP/s in the largest size whose call does not take too long by the rate in the one before."""
    rate = 0.0
    for size in sizes:
        flops, call = way(size)
        if rate and flops / rate > PEAK_SECONDS:
            break
        rate = flops / min(seconds_of(call, device) for _ in range(PEAK_REPEATS))
    return rate


def _checkpoint_seconds(members: Sequence[Member]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number, member in enumerate(members):
            save_checkpoint(Path(folder) / str(number), member, Progress(run_id=member.run.id))
        return time.perf_counter() - began
