"""Every Triton kernel compiles for GPUs on a machine that has none, without spilling registers to memory."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

#: In a process of its own, because Triton's interpreter, which other tests use, is chosen when Triton is imported.
SCRIPT = """
import json
from dataclasses import asdict
from benchmarks.compile_ahead import CAPABILITIES, CASES, MAPS, Case, compiled

smallest = [Case(name, 1, 1) for name in ("ce_kd", "deep_kd")] + [Case("deep_mse", 1, 0, (1, 1, 1))]
longest = [case for case in CASES if case.classes > 4096 or case.map_shape == MAPS[1]]
rows = compiled(90, smallest + longest)
papers = [case for case in CASES if case.batch == 64 and case.classes < 1000 and case.map_shape != MAPS[1]]
for capability in CAPABILITIES:
    rows += compiled(capability, papers)
print(json.dumps([asdict(row) for row in rows]))
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_compile_for_gpus(monkeypatch, tmp_path):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    always = {
        "ce_kd._make",
        "ce_kd._remake",
        "divergence._narrow",
        "deep_mse._held",
        "scaling._means",
        "scaling._scale",
    }
    kernels = {
        capability: {row["kernel"] for row in rows if row["capability"] == capability} for capability in (80, 90, 100)
    }
    assert kernels == {80: always, 90: always | {"divergence._wide", "deep_mse._read_twice"}, 100: always}
    assert not [row for row in rows if row["stack"]]
    # Where rows begin at 16-byte boundaries, logits and maps are not read element by element.
    narrow = {row["kernel"] for row in rows if row["case"]["batch"] != 1 and not row["wide"]}
    assert not narrow - {"scaling._means", "scaling._scale"}
