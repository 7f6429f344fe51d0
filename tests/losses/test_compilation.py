"""Every Triton kernel compiles for a GPU's architecture, on a machine that has none."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Compiles what the operators would launch, forward and backward, for compute capability 9.0, and launches nothing.
SCRIPT = """
import re

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction
from tests.losses.support import OPERATORS, arguments, implementation, leaves, weighted

class Target:
    get_current_target = staticmethod(lambda: GPUTarget("cuda", 90, 32))
    get_current_device = get_current_stream = staticmethod(lambda *device: 0)
    get_active_torch_device = staticmethod(lambda: torch.device("cpu"))

run = JITFunction.run

def compile_only(self, *args, grid, warmup, **options):
    asm = run(self, *args, grid=grid, warmup=True, **options).asm
    assert asm["cubin"]
    wide = bool(re.search(r"ld\\.global\\S*\\.v[24]", asm["ptx"]))
    print(f"{self.__module__}.{self.__name__}", shape[1], wide)

driver.set_active(Target())
JITFunction.run = compile_only
for operator in OPERATORS:
    for shape in ((64, 100), (17, 5000), (1, 1)):
        args = arguments(operator, *shape)
        torch.autograd.grad(weighted(implementation("triton", operator)(*args)), leaves(args))
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_compile_for_a_gpu(monkeypatch, tmp_path):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    compiled = [line.removeprefix("kdbench.losses.triton.").split() for line in done.stdout.splitlines()]
    names = {name for name, _, _ in compiled}
    assert names == {
        "ce_kd._make", "ce_kd._remake", "divergence._narrow", "divergence._wide", "deep_mse._kernel", "scaling._means",
        "scaling._scale",
    }  # fmt: skip
    # Where rows begin at 16-byte boundaries, logits and maps are not read element by element.
    narrow = {name for name, columns, wide in compiled if wide == "False" and columns != "1"}
    assert not narrow - {"scaling._means", "scaling._scale"}
