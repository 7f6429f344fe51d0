"""`python -m benchmarks.compile_ahead`: Triton's kernels compiled for GPUs that need not be there.

Prints as Markdown, for each kernel and size, the registers of a thread, the bytes of stack it spills them to, and
whether it loads 8 bytes or more at a time, for compute capability 8.0 (A100), 9.0 (H100, H200) and 10.0 (B200).
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from kdbench.bench.cases import OPERATORS, Case

CAPABILITIES = (80, 90, 100)
#: The paper's batch, logits for several programs, long rows, and rows that fit no block.
LOGITS = ((64, 100), (256, 100), (64, 1000), (17, 5000))
#: The paper's largest, and maps that are read twice.
MAPS = ((256, 8, 8), (512, 8, 8))
CASES = [Case(name, *size) for size in LOGITS for name in OPERATORS[:3]] + [
    Case("deep_mse", 64, 0, size) for size in MAPS
]


@dataclass(frozen=True)
class Compiled:
    """A kernel as it was compiled: registers a thread, bytes of stack a thread, and whether loads are wide."""

    kernel: str
    case: Case
    capability: int
    registers: int
    stack: int
    wide: bool


def compiled(capability: int, cases: Iterable[Case]) -> list[Compiled]:
    """All kernels that the cases launch, forward and backward. Nothing is launched, and values mean nothing."""
    rows: list[Compiled] = []
    for case in cases:
        with _compiling_only(capability) as kernels:
            call, leaves = case.bind("triton", torch.device("cpu"))
            torch.autograd.grad(torch.stack(call()).sum(), leaves)
        for name, kernel in kernels:
            used = _resources(kernel.asm["cubin"])
            wide = bool(re.search(r"ld\.global\S*\.v[24]", kernel.asm["ptx"]))
            rows.append(Compiled(name, case, capability, used["REG"], used["STACK"], wide))
    return list(dict.fromkeys(rows))


@contextmanager
def _compiling_only(capability: int) -> Iterator[list[tuple[str, Any]]]:
    """Inside, launches compile for `capability` and do no more; what they compiled is in the list.

    Triton takes that for the device of this process from then on.
    """
    kernels: list[tuple[str, Any]] = []
    run = JITFunction.run

    class Target:
        get_current_target = staticmethod(lambda: GPUTarget("cuda", capability, 32))
        get_current_device = get_current_stream = staticmethod(lambda *device: 0)
        get_active_torch_device = staticmethod(lambda: torch.device("cpu"))

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        # A kernel keeps what it compiled by device, and all of these are one.
        self.device_caches.clear()
        name = f"{self.__module__.removeprefix('kdbench.losses.triton.')}.{self.__name__}"
        kernels.append((name, run(self, *args, grid=grid, warmup=True, **options)))

    driver.set_active(Target())
    JITFunction.run = compile_only
    try:
        # The tensors lie on a CPU, where these kernels would be refused.
        with mock.patch("kdbench.losses.backend._outside_triton", return_value=None):
            yield kernels
    finally:
        JITFunction.run = run


def _resources(cubin: bytes) -> dict[str, int]:
    """What `cuobjdump`, which Triton brings, says that a kernel uses."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        said = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"(REG|STACK):(\d+)", said.stdout)}


def main() -> None:
    """Print the table."""
    found: dict[tuple[str, str], dict[int, Compiled]] = {}
    for capability in CAPABILITIES:
        for row in compiled(capability, CASES):
            found.setdefault((row.kernel, f"`{row.case.operator}` {row.case.size}"), {})[capability] = row
    titles = [f"{capability / 10:.1f}" for capability in CAPABILITIES]
    print(f"| kernel | of | {' | '.join(titles)} | spills | wide loads |")
    print(f"|---|---|{'---|' * len(titles)}---|---|")
    for (kernel, case), rows in found.items():
        registers = " | ".join(str(row.registers) for row in rows.values())
        stack = max(row.stack for row in rows.values())
        wide = {row.wide for row in rows.values()}
        print(f"| `{kernel}` | {case} | {registers} | {stack or 'none'} | {'yes' if wide == {True} else 'no'} |")


if __name__ == "__main__":
    main()
