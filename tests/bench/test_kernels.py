"""The kernel benchmark on tiny cases: rows, table, JSON, comparison."""

import copy
import json

import pytest
import torch
from typer.testing import CliRunner

from kdbench.bench import kernels
from kdbench.bench.cases import BEYOND, IMPLEMENTATIONS, LARGE, MEDIUM, PAIR, PAPER, SIZES, Case
from kdbench.bench.kernels import Result, run_kernels
from kdbench.bench.report import compare, load, measured_on, render, to_json
from kdbench.bench.timing import Timing, seconds_of
from kdbench.cli.app import app
from kdbench.inputs.errors import UserError

CASES = [Case("ce_kd", 4, 5), Case("deep_mse", 4, 0, (2, 3, 3)), Case(PAIR, 4, 5, (2, 3, 3))]


@pytest.fixture(scope="module")
def result():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "copy_bandwidth", lambda device: 1e9)
        yield run_kernels("cpu", CASES, implementations=("reference", "analytic", "triton"), rounds=3, upstream=30.0)


@pytest.fixture
def saved(result):
    return json.loads(to_json(result, "cpu"))


def test_a_replayed_graph_is_launched_while_the_device_is_busy(monkeypatch):
    log = []

    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self):
            log.append("event")

        def synchronize(self):
            log.append("wait")

        def elapsed_time(self, other):
            return 2.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: log.append("busy"))
    for queued in (False, True):
        assert seconds_of(lambda: log.append("call"), torch.device("cuda"), queued=queued) == 2e-3
    assert log == ["event", "call", "event", "wait", "busy", "event", "call", "event", "wait"]


def test_bytes_are_inputs_and_gradients_once():
    assert Case("kd", 10, 100).bytes == 4 * 10 * 100 * 3
    assert Case("ce_kd", 10, 100).bytes == 4 * 10 * 100 * 3 + 8 * 10
    deep = Case("deep_kd", 10, 100)
    assert (deep.bytes, deep.gradient_bytes) == (4 * 10 * 100 * 7, 4 * 10 * 100 * 3)
    assert Case(PAIR, 10, 100, (2, 3, 3)).bytes == deep.bytes + 4 * 10 * 18 * 7


def test_the_papers_size_and_larger_ones_are_there():
    assert any(case.size == "64 × 100 and 256×8×8" for case in PAPER)
    assert {case.batch for case in [*MEDIUM, *BEYOND, *LARGE] if case.operator == "deep_kd"} == {4096, 16384, 65536}


def test_what_is_beyond_the_caches_is_several_times_as_large():
    assert all(case.bytes - case.gradient_bytes > 5 * 60e6 for case in BEYOND)


def test_every_implementation_is_timed_in_every_direction(result):
    timed = {(row.operator, row.implementation, row.direction) for row in result.rows if row.timing}
    assert timed == {
        (case.operator, name, direction)
        for case in CASES
        for name in ("reference", "analytic")
        for direction in ("forward", "backward", "both")
    }
    for row in result.rows:
        assert row.timing is None or 0 < row.timing.low <= row.timing.median <= row.timing.high


def test_triton_on_a_cpu_is_not_available_and_says_why(result):
    rows = [row for row in result.rows if row.implementation == "triton"]
    assert rows and all(row.timing is None and row.note == "timed on cuda only" for row in rows)
    assert "n/a: timed on cuda only" in render(result)


def test_scratch_is_of_both_passes_and_beyond_the_gradients(result):
    taken = {(x.operator, x.implementation): x.scratch for x in result.rows if x.direction == "both" and x.timing}
    assert all(row.scratch is None for row in result.rows if row.direction != "both" or not row.timing)
    assert 0 < taken["deep_mse", "analytic"] < CASES[1].gradient_bytes < taken["deep_mse", "reference"]
    assert "scratch MB" in render(result)


def test_the_share_is_of_the_copy_bandwidth(result):
    row = next(row for row in result.rows if row.direction == "both" and row.timing)
    assert row.share == pytest.approx(row.bytes / row.timing.median / 1e9)


def test_the_table_names_ratios_and_what_was_left_out(result):
    text = render(result)
    assert "× reference" in text and "Copy bandwidth: 1.0 GB/s." in text


def test_a_cpu_leaves_out_the_largest_by_default(monkeypatch):
    monkeypatch.setattr(kernels, "copy_bandwidth", lambda device: 1e9)
    monkeypatch.setattr(kernels, "_measure", lambda case, *rest: [])
    assert "65536 × 1000" in run_kernels("cpu").left_out[0]


def test_a_command_line_may_name_sizes_and_implementations(monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "run_kernels", lambda *given, **how: asked.append((given, how)) or Result([], 1e9, []))
    words = [
        "bench",
        "kernels",
        "--device",
        "cpu",
        "--sizes",
        "paper,beyond",
        "--implementations",
        "reference,analytic",
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, words[:4]).exit_code == 0
    (named, how), (default, rest) = asked
    assert named[1] == [*SIZES["paper"], *SIZES["beyond"]] and how["implementations"] == ("reference", "analytic")
    assert default[1] is None and rest["implementations"] == IMPLEMENTATIONS
    for option, word in (("--sizes", "papers"), ("--implementations", "analytical")):
        refused = CliRunner().invoke(app, [*words[:4], option, word])
        assert isinstance(refused.exception, UserError) and f"'{word}'; did you mean" in str(refused.exception)


def test_a_stop_leaves_out_what_has_not_begun(monkeypatch):
    monkeypatch.setattr(kernels, "copy_bandwidth", lambda device: 1e9)
    begun = []
    left = run_kernels(
        "cpu", CASES, implementations=("analytic",), rounds=1, progress=begun.append, stop_requested=lambda: begun
    )
    first, *others = (f"{case.operator} {case.size}" for case in CASES)
    assert begun == [first]
    assert left.left_out == [f"Left out after a stop: {other}." for other in others]
    assert {f"{row.operator} {row.size}" for row in left.rows} == {first}


def test_quantiles():
    assert Timing.of([float(x) for x in range(11)]) == Timing(5.0, 2.0, 8.0)


def test_the_environment_names_device_versions_and_command():
    known = measured_on("cpu")
    assert known["packages"]["torch"] == torch.__version__.partition("+")[0] and known["device"] and known["command"]
    assert known["threads"] == torch.get_num_threads() and known["driver"] is None


def test_a_result_survives_its_file(saved, tmp_path):
    path = tmp_path / "kernels.json"
    path.write_text(json.dumps(saved))
    assert load(path) == saved
    assert compare(saved, load(path), bound=1.2) == []


def test_slowdowns_beyond_the_bound_are_found_worst_first(saved):
    slower = copy.deepcopy(saved)
    timed = [row for row in slower["rows"] if row["timing"]]
    for row, factor in zip(timed, (1.1, 1.5, 3.0), strict=False):
        row["timing"]["median"] *= factor
    found = compare(saved, slower, bound=1.2)
    assert [round(x.new / x.old, 2) for x in found] == [3.0, 1.5]
    assert "3.00 ×" in str(found[0]) and timed[2]["operator"] in str(found[0])
    assert len(compare(saved, slower, bound=1.05)) == 3


def test_rows_of_one_result_only_are_skipped(saved):
    assert compare({**saved, "rows": []}, saved, bound=1.2) == []


def test_results_of_different_devices_are_refused(saved):
    other = {**saved, "environment": {**saved["environment"], "device": "abacus"}}
    with pytest.raises(UserError, match="different device"):
        compare(other, saved, bound=1.2)


@pytest.mark.parametrize("text", ["", "{}", '{"environment": {"device": 1}, "rows": [{}]}'])
def test_a_file_that_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match="no saved result"):
        load(path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_every_implementation_runs_inside_a_graph_too():
    rows = run_kernels("cuda", [Case(PAIR, 64, 100, (256, 8, 8))], rounds=3).rows
    assert {row.implementation for row in rows if row.graph} == {"reference", "compiled", "analytic", "triton"}
    assert {row.note for row in rows if not row.timing} == {"timed on cpu only"}
