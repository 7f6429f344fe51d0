"""The table of all methods in docs/methods.md says what the code says."""

import re
from pathlib import Path

import pytest
import torch

from kdbench.method import Build, Method, MethodParams
from kdbench.plugins import load_plugins
from kdbench.supervision import SUPERVISION, reading

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "methods.md").read_text()
REGISTRY = load_plugins()
#: The pair that parameters are counted on, CIFAR-100's number of classes and its size.
TEACHER, STUDENT = (REGISTRY.architecture(name) for name in ("resnet32x4", "resnet8x4"))
CLASSES, PIXELS, BATCH = 100, 32, 64
#: What a row says of agreement: with numbers of the original's code, or with the equations in a test of our own.
CODE, EQUATIONS = "code, 10⁻", "equations, 10⁻¹⁰"


def rows() -> dict[str, list[str]]:
    """Cells of each method's row, the heading above it first."""
    found: dict[str, list[str]] = {}
    for part in PAGE.split("\n## ")[1:]:
        heading, *lines = part.splitlines()
        for line in lines:
            if line.startswith("| `"):
                name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
                assert name.strip("`") not in found
                found[name.strip("`")] = [heading, *cells]
    return found


ROWS = rows()


def test_it_has_every_method_and_no_other():
    assert sorted(ROWS) == sorted(REGISTRY.usable("method"))
    assert set(re.findall(r"^## (.*)$", PAGE, flags=re.M)) == {f"Learns from {kind}" for kind in SUPERVISION}


def features(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def parameters(method: type[Method], params: MethodParams, build: Build) -> tuple[int, Method]:
    torch.manual_seed(0)
    built = method(params, build)
    return sum(p.numel() for p in built.parameters() if p.requires_grad), built


@pytest.fixture(scope="module")
def networks():
    teacher, student = TEACHER.build(CLASSES).eval().requires_grad_(False), STUDENT.build(CLASSES)
    shapes = [network.shapes(CLASSES, PIXELS) for network in (TEACHER, STUDENT)]
    return (student, shapes[1]), (teacher, shapes[0])


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_the_code_says(name, networks):
    method = REGISTRY.method(name)
    params = method.Params()
    heading, source, ours, theirs, extra, agreement, _ = ROWS[name]
    assert heading == f"Learns from {reading(REGISTRY, name)['supervision']}"
    assert source == method.citation
    needs = method.needs_for(params)
    assert (ours, theirs) == (features(needs.student), features(needs.teacher))
    student, teacher = networks
    labels = torch.arange(BATCH * 4) % CLASSES
    stage, before = None, 0
    if declared := method.pre_stage(params):
        before, stage = parameters(*declared, Build(*teacher, labels, BATCH, *teacher, epochs=240))
    count, _ = parameters(method, params, Build(*student, labels, BATCH, *teacher, stage, epochs=240))
    assert extra == f"{count:,}" + (f" + {before:,}" if before else "")
    assert agreement.startswith((CODE, EQUATIONS, "reconstruction"))
    assert (CODE in agreement) == compared_with_code(method)


def compared_with_code(method: type[Method]) -> bool:
    """Whether a test has numbers of the original's code on the inputs that are made for that."""
    files = (ROOT / "tests" / "methods").glob("test_*.py")
    return any("pinned(" in text and re.search(rf"\b{method.__name__}\b", text) for text in map(Path.read_text, files))
