"""From records to paired differences, gains over pairs, the comparison with the paper, and costs."""

import json
import statistics

import pytest
from scipy import stats

from kdbench.cells import Expansion
from kdbench.data.dataset import DatasetInfo
from kdbench.inputs.errors import UserError
from kdbench.plugins import load_plugins
from kdbench.report.cost import costs
from kdbench.report.evidence import evidence, render
from kdbench.report.mixed import mixed
from kdbench.report.paired import compare_to
from kdbench.report.published import against_paper
from kdbench.report.results import cell_results
from kdbench.selection import load_grid
from tests.gate.support import record

GRID = """
dataset: digits
recipe: crd240
seeds: [0, 1, 2]
tables:
  - name: table
    title: Two pairs, as the paper has them
    paper: dskd_table1
    pairs: ["wrn_40_2:wrn_40_1", "vgg13:vgg8"]
    rows: [{method: student, label: Student}, {method: kd, label: KD}, {method: dskd, label: DSKD}]
"""
#: Accuracies of three seeds by row and student.
TOPS = {
    ("student", "wrn_40_1"): (71.0, 71.6, 71.9),
    ("student", "vgg8"): (70.0, 70.3, 70.9),
    ("kd", "wrn_40_1"): (73.0, 73.5, 73.7),
    ("kd", "vgg8"): (73.1, 73.3, 73.2),
    ("dskd", "wrn_40_1"): (74.0, 74.6, 74.7),
    ("dskd", "vgg8"): (73.0, 73.4, 73.3),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "paper.yaml"
    path.write_text(GRID)
    registry = load_plugins()
    info = DatasetInfo("cifar100", num_classes=100, input_size=32, train_size=50_000, test_size=10_000)
    cells = Expansion(load_grid(str(path), registry), registry, info)
    records = {
        run.id: record(run, TOPS[cell.row.key, cell.pair.student][run.seed])
        for cell in cells.cells
        for run in cell.runs
    }
    return cells, records, registry


@pytest.fixture(scope="module")
def results(measured):
    return cell_results(*measured)


def test_paired_differences_by_hand(results):
    found = {(one.cell.row.key, one.cell.pair.student): one for one in compare_to(results, "kd")}
    assert len(found) == 4
    one = found["dskd", "wrn_40_1"]
    # Differences 1.0, 1.1, 1.0: mean 1.0333, std 0.057735, error 0.033333, half-width 4.30265 × 0.033333 = 0.14342.
    assert one.differences == pytest.approx((1.0, 1.1, 1.0)) and one.seeds == (0, 1, 2)
    assert (one.interval.low, one.interval.high) == pytest.approx((0.88991, 1.17676), abs=1e-5)
    expected = stats.ttest_rel(TOPS["dskd", "wrn_40_1"], TOPS["kd", "wrn_40_1"]).pvalue
    assert one.estimate.p_value == pytest.approx(expected)
    # p values 0.0010, 0.0029 (student on wrn_40_1), 0.0078 (student on vgg8), 0.42: all but the last are below
    # 0.05/4, 0.05/3, 0.05/2.
    assert [one.separated for one in found.values()] == [True, True, True, False]


def test_an_unseparated_pair_says_how_many_seeds_it_would_take(results):
    one = next(o for o in compare_to(results, "kd") if not o.separated)
    # Differences −0.1, 0.1, 0.1: effect 0.0333 / 0.11547 = 0.28868 at 0.05; a two-sided paired t test of power 0.8
    # takes 97 (normal approximation: ((1.960 + 0.842) / 0.28868)² = 94.2).
    assert one.asks_for_seeds and one.needed == 97


def test_an_unknown_reference_names_the_nearest(results):
    with pytest.raises(UserError, match="did you mean 'dskd'"):
        compare_to(results, "dskdd")


def test_seeds_without_a_partner_are_left_out(measured):
    cells, records, registry = measured
    fewer = {key: one for key, one in records.items() if (one.run.method, one.run.seed) != ("dskd", 1)}
    found = [o for o in compare_to(cell_results(cells, fewer, registry), "kd") if o.cell.row.key == "dskd"]
    assert [one.seeds for one in found] == [(0, 2)] * 2 and [one.status for one in found] == ["partial"] * 2


def test_gain_over_pairs(results):
    compared = compare_to(results, "kd")
    found = {one.row: one for one in mixed(compared)}
    gain = found["dskd"]
    assert gain.gain == pytest.approx((31 / 30 + 1 / 30) / 2) and gain.pairs == gain.above == 2
    assert (gain.wins, gain.ties, gain.losses) == (1, 1, 0)
    assert (found["student"].wins, found["student"].losses) == (0, 2)
    assert gain.interval.low < gain.gain < gain.interval.high
    assert mixed(compared) == mixed(compared) and mixed(compared, seed=1)[1].interval != gain.interval


def test_pairs_of_the_same_runs_count_once(results):
    compared = [one for one in compare_to(results, "kd") if one.cell.row.key == "dskd"]
    (gain,) = mixed([*compared, *compared])
    assert gain.pairs == 2


def test_against_the_paper(results):
    found = {(one.cell.row.key, one.cell.pair.student): one for one in against_paper(results, load_plugins())}
    one = found["kd", "wrn_40_1"]
    ours = TOPS["kd", "wrn_40_1"]
    expected = stats.ttest_ind_from_stats(
        statistics.fmean(ours), statistics.stdev(ours), 3, 74.05, 0.11, 3, equal_var=False
    )
    assert one.estimate.mean == pytest.approx(statistics.fmean(ours) - 74.05)
    assert one.estimate.p_value == pytest.approx(expected.pvalue)
    assert len(found) == 6 and found["kd", "vgg8"].answer == "not told apart"
    assert {one.answer for one in found.values()} == {"apart", "not told apart"}


def test_costs_are_means_over_seeds(measured, results):
    cost = costs(results, measured[1])[0]
    assert cost.seconds == 11.0 and cost.peak_memory_bytes == 3_000_000
    assert (cost.deployed_parameters, cost.extra_parameters, cost.cohorts, cost.runs) == (1000, 500, (3,), 3)


@pytest.mark.parametrize("format", ["text", "markdown"])
def test_pages_hold_every_part(measured, results, format):
    page = render(evidence(results, measured[1], measured[2], ["kd", "student"]), format)
    for part in ("Paired differences", "Gain over all pairs", "Against the paper", "Cost", "+1.03 [+0.89, +1.18]"):
        assert part in page
    assert "Predictions" not in page


def test_json_holds_every_part(measured, results):
    page = json.loads(render(evidence(results, measured[1], measured[2], ["kd"]), "json"))
    assert {key: len(found) for key, found in page.items()} == {
        "paired": 4,
        "uncompared": 0,
        "mixed": 2,
        "paper": 6,
        "cost": 6,
        "predictions": 0,
    }


def test_a_diverged_cell_is_named_where_it_cannot_be_compared(measured):
    cells, records, registry = measured
    lost = {
        key: record(one.run, 0.0, "diverged") if (one.run.method, one.run.student) == ("dskd", "vgg8") else one
        for key, one in records.items()
    }
    found = evidence(cell_results(cells, lost, registry), lost, registry, ["kd"])
    assert [(one.cell.row.key, one.cell.pair.student, one.status) for one in found.uncompared] == [
        ("dskd", "vgg8", "diverged")
    ]
    gain = {one.row: one for one in found.mixed}["dskd"]
    assert (gain.pairs, gain.without) == (1, 1)
    text = render(found, "text")
    assert "1 of 2" in text and "without a seed in common: table vgg13→vgg8 DSKD minus kd (diverged)" in text


def test_a_diverged_seed_of_either_side_marks_the_difference_and_the_paper(measured):
    cells, records, registry = measured
    lost = {
        key: record(one.run, 0.0, "diverged") if (one.run.method, one.run.seed) == ("kd", 2) else one
        for key, one in records.items()
    }
    found = evidence(cell_results(cells, lost, registry), lost, registry, ["kd"])
    assert {one.status for one in found.paired} == {"diverged"} and {len(one.seeds) for one in found.paired} == {2}
    assert {one.status for one in found.paper if one.cell.row.key == "kd"} == {"diverged"}
    assert render(found, "text").count("; ‡ a seed diverged") == 2


def test_a_tables_own_reference_comes_first(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(
        GRID
        + "  - {name: other, title: o, pairs: ['vgg13:vgg8'], rows: [{method: kd, params: {tau: 2}}, {method: dkd}]}\n"
    )
    registry = load_plugins()
    info = DatasetInfo("cifar100", num_classes=100, input_size=32, train_size=50_000, test_size=10_000)
    cells = Expansion(load_grid(str(path), registry), registry, info)
    tops = {("table", "kd"): 80.0, ("other", "kd"): 70.0, ("other", "dkd"): 71.0}
    records = {
        run.id: record(run, tops[cell.table.name, cell.row.key])
        for cell in cells.cells
        for run in cell.runs
        if (cell.table.name, cell.row.key) in tops
    }
    (one,) = compare_to(cell_results(cells, records, registry), "kd")
    assert one.estimate.mean == pytest.approx(1.0)


def test_rounding_makes_no_pair_better_and_asks_for_no_seeds(measured):
    """Means of +3, −5 and +2 images of 797 are 5·10⁻¹⁵ in floating point."""
    cells, _, registry = measured
    images = {"kd": (700, 700, 700), "dskd": (703, 695, 702), "student": (707, 707, 707)}
    records = {
        run.id: record(run, 100 * images[cell.row.key][run.seed] / 797) for cell in cells.cells for run in cell.runs
    }
    compared = compare_to(cell_results(cells, records, registry), "kd")
    found = {one.row: one for one in mixed(compared)}
    assert (found["dskd"].above, found["student"].above) == (0, 2)
    assert [one.needed for one in compared if one.cell.row.key == "student"] == [None, None]


def test_an_empty_folder_says_so(measured):
    cells, _, registry = measured
    assert render(evidence(cell_results(cells, {}, registry), {}, registry, ["kd"]), "text").startswith("no finished")
