"""What a CPU can prove of CUDA: forward steps, batches and evaluation on tensors of a GPU without their values."""

from pathlib import Path

import pytest
import torch
import torch.cuda.amp.common

from kdbench.checks.bench import Bench
from kdbench.checks.case import Case
from kdbench.checks.findings import Fault
from kdbench.checks.gpu import GPU, forward_on_gpu, gpu
from kdbench.checks.suite import paper_pairs
from kdbench.plugins import load_plugins
from kdbench.training.diagnosis import diagnoses
from tests import networks

REGISTRY = load_plugins((networks.FILE,))
BROKEN = load_plugins((Path(__file__).with_name("broken.py"),))
PAIR, LIGHT = paper_pairs(REGISTRY, ["resnet14:resnet8", "deeper:shallower"])


@pytest.fixture(scope="module")
def bench():
    return Bench(REGISTRY)


@pytest.mark.parametrize("name", REGISTRY.usable("method"))
def test_a_method_leaves_nothing_on_the_cpu(bench, name):
    case = Case(bench, REGISTRY.method(name), LIGHT, thorough=True)
    for judged in [case, *([case.pre_stage] if case.pre_stage else [])]:
        forward_on_gpu(judged, diagnosing=diagnoses(judged.judged))


@pytest.mark.parametrize("name", ["dskd", "crd"])
def test_in_bf16(bench, name, monkeypatch):
    # Without a GPU PyTorch switches its autocast off.
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    products = set()

    def note(module, _inputs, output):
        if isinstance(module, torch.nn.Conv2d):
            products.add((output.dtype, output.device))

    with torch.nn.modules.module.register_module_forward_hook(note):
        terms = forward_on_gpu(Case(bench, REGISTRY.method(name), PAIR, thorough=True), "bf16")
    assert (torch.bfloat16, GPU) in products and (torch.float32, GPU) not in products
    assert {(value.dtype, value.device) for value in terms.values()} == {(torch.float32, GPU)}


@pytest.mark.parametrize("name", ["item", "branch", "tolist", "tonumpy", "mask", "nonzero", "tocpu"])
def test_a_value_that_is_read_raises(name):
    with pytest.raises(Fault, match="on a GPU: "):
        gpu(Case(Bench(BROKEN), BROKEN.method(name), PAIR, thorough=True))
