"""The benchmark of the loss kernels: every implementation of every operator, timed in turns within one process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdbench.bench.cases import BY_DEFAULT, IMPLEMENTATIONS, ONLY_ON, SIZES, Case, Outputs
from kdbench.bench.memory import peak_bytes
from kdbench.bench.timing import Timing, captured, copy_bandwidth, seconds_of
from kdbench.execution.allocator import keep_freed_memory

DIRECTIONS = ("forward", "backward", "both")
WARM_UP, ROUNDS = 5, 50


@dataclass(frozen=True)
class Row:
    """One measurement. Times in seconds; `timing` is None where `note` says why there is none.

    `bytes` are the fewest a pass must move in float32: forward reads each input, backward writes each gradient, both do
    both. `share` is their rate over that of a large copy on the same device. `graph` says whether the call was replayed
    from a CUDA graph; its time is then the device's alone, without the host's for launching it. `scratch` is the most
    memory that both passes hold at one time beyond the inputs and the gradients that they return, in bytes; it is taken
    of both passes outside a graph alone.
    """

    operator: str
    size: str
    implementation: str
    direction: str
    graph: bool
    samples: int
    bytes: int
    timing: Timing | None
    share: float | None
    scratch: int | None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """All rows, the copy bandwidth (bytes a second) they are related to, and what was left out, in sentences."""

    rows: list[Row]
    copy_bandwidth: float
    left_out: list[str]


def run_kernels(
    device: str | torch.device = "cpu",
    cases: Sequence[Case] | None = None,
    *,
    implementations: Sequence[str] = IMPLEMENTATIONS,
    rounds: int = ROUNDS,
    upstream: float = 1.0,
    progress: Callable[[str], None] = lambda line: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Result:
    """Times `cases` (by default those that suit the device) and tells `progress` which one is next.

    Inputs are leaves in float32, and gradients are returned rather than accumulated: nothing but the operator is timed.
    `upstream` is the upstream gradient of every output. A stop leaves out the cases that have not begun.
    """
    device = torch.device(device)
    left_out = []
    if device.type == "cpu":
        # Else a timing at a few MB is that of fresh pages, which fall on whichever call finds the heap trimmed.
        keep_freed_memory()
    if cases is None:
        chosen = BY_DEFAULT[device.type]
        cases = [case for name in chosen for case in SIZES[name]]
        if others := [case for name in SIZES if name not in chosen for case in SIZES[name]]:
            names = ", ".join(f"{case.operator} {case.size}" for case in others)
            left_out.append(f"Left out on a CPU for their time: {names}.")
    bandwidth = copy_bandwidth(device)
    rows: list[Row] = []
    for case in cases:
        if stop_requested():
            left_out.append(f"Left out after a stop: {case.operator} {case.size}.")
            continue
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what the case before has left there is free
            if 4 * case.bytes > torch.cuda.mem_get_info(device)[0]:
                left_out.append(f"Left out for the device's free memory: {case.operator} {case.size}.")
                continue
        progress(f"{case.operator} {case.size}")
        rows += _measure(case, device, implementations, rounds, upstream, bandwidth)
    return Result(rows, bandwidth, left_out)


def _measure(
    case: Case, device: torch.device, implementations: Sequence[str], rounds: int, upstream: float, bandwidth: float
) -> list[Row]:
    possible = [name for name in implementations if ONLY_ON.get(name, device.type) == device.type]
    if {"compiled", "inductor"} & set(possible):  # else the compiler need not even be imported, which takes seconds
        torch.compiler.reset()  # so that each size is compiled for itself, not one size more of an earlier case
    runs = {name: _Run(case, name, device, upstream) for name in possible}
    seconds: dict[tuple[str, str, bool], list[float]] = {
        (name, direction, graph): []
        for direction in DIRECTIONS
        for graph in ((False, True) if device.type == "cuda" and direction != "backward" else (False,))
        for name in possible
    }
    for number in range(WARM_UP + rounds):
        for (name, direction, graph), samples in seconds.items():
            # The untimed call before each timed one leaves this implementation's own data in the caches, not another's.
            once = [runs[name].seconds(direction, graph) for _ in range(2)][1]
            if number >= WARM_UP:
                samples.append(once)
    scratch = {(name, "both", False): peak_bytes(run.both, device) - case.gradient_bytes for name, run in runs.items()}
    rows = [_row(case, *key, Timing.of(taken), scratch.get(key), bandwidth) for key, taken in seconds.items()]
    impossible = [name for name in implementations if name not in possible]
    return rows + [_row(case, name, way, False, None, None, bandwidth) for name in impossible for way in DIRECTIONS]


def _row(
    case: Case,
    name: str,
    direction: str,
    graph: bool,
    timing: Timing | None,
    scratch: int | None,
    bandwidth: float,
) -> Row:
    gradients = case.gradient_bytes
    moved = {"forward": case.bytes - gradients, "backward": gradients, "both": case.bytes}[direction]
    share = moved / timing.median / bandwidth if timing else None
    note = "" if timing else f"timed on {ONLY_ON[name]} only"
    return Row(case.operator, case.size, name, direction, graph, case.batch, moved, timing, share, scratch, note)


class _Run:
    """One implementation of one case, ready to be timed."""

    def __init__(self, case: Case, implementation: str, device: torch.device, upstream: float):
        self.device = device
        self.call, self.leaves = case.bind(implementation, device)
        self.upstream = [torch.full_like(x, upstream) for x in self.call()]
        self.graphs: dict[str, Callable[[], object]] = {}

    def gradients(self, outputs: Outputs) -> tuple[Tensor, ...]:
        return torch.autograd.grad(outputs, self.leaves, self.upstream)

    def both(self) -> tuple[Tensor, ...]:
        return self.gradients(self.call())

    def seconds(self, direction: str, graph: bool) -> float:
        if direction == "backward":
            outputs = self.call()
            return seconds_of(lambda: self.gradients(outputs), self.device)
        call: Callable[[], object] = self.call if direction == "forward" else self.both
        if graph:
            if direction not in self.graphs:
                self.graphs[direction] = captured(call)
            call = self.graphs[direction]
        return seconds_of(call, self.device, queued=graph)
