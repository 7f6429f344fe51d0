"""The statistics of a grid together: paired differences, gains over all pairs, the paper, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tabulate import tabulate

from kdbench.cells import Cell
from kdbench.registry import Registry
from kdbench.report.cost import CellCost, costs
from kdbench.report.escape import markdown
from kdbench.report.layout import MARKS
from kdbench.report.mixed import MixedSummary, mixed
from kdbench.report.paired import PairedComparison, Uncompared, compare_to, uncompared
from kdbench.report.published import PaperComparison, against_paper
from kdbench.report.results import CellResult, CellStatus
from kdbench.report.words import seeds_in_words, signed, spread
from kdbench.store.records import Record

if TYPE_CHECKING:
    from kdbench.report.predictions import CellPredictions

EvidenceFormat = Literal["text", "markdown", "json"]
Section = tuple[str, list[str], list[list[str]], str]


@dataclass(frozen=True)
class Evidence:
    """All statistics of a grid."""

    paired: list[PairedComparison]
    uncompared: list[Uncompared]
    mixed: list[MixedSummary]
    paper: list[PaperComparison]
    cost: list[CellCost]
    predictions: list[CellPredictions]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {key: [one.as_json() for one in found] for key, found in vars(self).items()}


def evidence(
    results: Sequence[CellResult],
    records: Mapping[str, Record],
    registry: Registry,
    references: Sequence[str],
    predictions: Sequence[CellPredictions] = (),
) -> Evidence:
    """The statistics of a grid's cells, against each of the reference rows; `predictions` go with them."""
    compared = [one for reference in references for one in compare_to(results, reference)]
    lost = [one for reference in references for one in uncompared(results, reference)]
    return Evidence(
        compared, lost, mixed(compared, lost), against_paper(results, registry), costs(results, records), [*predictions]
    )


def render(found: Evidence, format: EvidenceFormat) -> str:
    """As text, Markdown or JSON; a part that has nothing to show is left out."""
    if format == "json":
        return json.dumps(found.as_json(), indent=1, ensure_ascii=False)
    kept = [section for section in sections(found) if section[2]]
    return "\n\n".join(_written(section, format) for section in kept) or "no finished runs to compare"


def _written(section: Section, format: EvidenceFormat) -> str:
    title, header, rows, note = section
    if format == "markdown":
        title, note = f"**{title}**\n", markdown(note)
        header, rows = [*map(markdown, header)], [[*map(markdown, row)] for row in rows]
    style = {"text": "simple", "markdown": "pipe"}[format]
    return f"{title}\n{tabulate(rows, headers=header, tablefmt=style, disable_numparse=True)}\n\n{note}"


def sections(found: Evidence) -> list[Section]:
    """Each part as title, header, rows of text and note, whether or not it has rows."""
    return [
        (
            "Paired differences, points",
            ["table", "pair", "method", "minus", "difference [95 %]", "n", "separated", "seeds needed"],
            [_paired(one) for one in found.paired],
            "t intervals over seeds of the last epoch's accuracy, each for itself; separated: zero is excluded after "
            "Holm's correction over a table's comparisons with one reference; seeds needed: to separate a true "
            "difference of the observed size with probability 0.8"
            + _legend(one.status for one in found.paired)
            + _left_out(found.uncompared),
        ),
        (
            "Gain over all pairs, points",
            ["table", "method", "over", "gain [95 %]", "pairs", "above", "wins/ties/losses"],
            [_mixed(one) for one in found.mixed],
            "mean over pairs of the mean over seeds; interval by a bootstrap of pairs, then of their seeds; win and "
            "loss: separated above and below; pairs: k of m where failed or diverged runs leave only k to compare",
        ),
        (
            "Against the paper, points",
            ["table", "pair", "method", "ours (n)", "paper (n)", "difference [95 %]", "told apart"],
            [_paper(one) for one in found.paper],
            "Welch's t interval from both means, stds and n; apart: zero is excluded after Holm's correction over the "
            "table" + _legend(one.status for one in found.paper),
        ),
        (
            "Cost",
            ["table", "pair", "method", "s/student", "images/s", "memory MB", "params k", "extra k", "MFLOPs"],
            [_cost(one) for one in found.cost],
            _cost_note(found.cost),
        ),
        (
            "Predictions, % of the test set",
            ["table", "pair", "method", "agreement", "calibration error"],
            [[*_place(one.cell), spread(one.agreement), spread(one.calibration)] for one in found.predictions],
            "agreement: student and teacher name the same class; calibration error: expected, 15 bins (Guo et al., "
            "2017); mean ± sample std (n seeds), from the saved weights",
        ),
    ]


def _place(cell: Cell) -> list[str]:
    return [cell.table.name, f"{cell.pair.teacher}→{cell.pair.student}", cell.label]


def _mark(status: CellStatus) -> str:
    return MARKS[status][0] if status in MARKS else ""


def _legend(statuses: Iterable[CellStatus]) -> str:
    used = {*statuses}
    return "".join(f"; {mark} {meaning}" for status, (mark, meaning) in MARKS.items() if status in used)


def _left_out(found: Sequence[Uncompared]) -> str:
    cells = ", ".join(f"{' '.join(_place(one.cell))} minus {one.reference} ({one.status})" for one in found)
    return f"; without a seed in common: {cells}" if cells else ""


def _paired(one: PairedComparison) -> list[str]:
    needed = seeds_in_words(one.needed) if one.asks_for_seeds else ""
    separated = "yes" if one.separated else "no"
    change = signed(one.estimate.mean, one.interval) + _mark(one.status)
    return [*_place(one.cell), one.reference, change, f"{len(one.seeds)}", separated, needed]


def _mixed(one: MixedSummary) -> list[str]:
    record = f"{one.wins}/{one.ties}/{one.losses}"
    pairs = f"{one.pairs} of {one.pairs + one.without}" if one.without else f"{one.pairs}"
    return [one.table, one.row, one.reference, signed(one.gain, one.interval), pairs, f"{one.above}", record]


def _paper(one: PaperComparison) -> list[str]:
    std = f"±{one.published.std:.2f}" if one.published.std is not None else ""
    paper = f"{one.published.mean:.2f}{std} ({one.runs or 'n not printed'})"
    return [
        *_place(one.cell),
        spread(one.ours) + _mark(one.status),
        paper,
        signed(one.estimate.mean, one.interval),
        one.answer,
    ]


def _cost(one: CellCost) -> list[str]:
    return [
        *_place(one.cell),
        f"{one.seconds:.1f}",
        f"{one.images_per_second:.0f}",
        f"{one.peak_memory_bytes / 1e6:.0f}",
        f"{one.deployed_parameters / 1e3:.1f}",
        f"{one.extra_parameters / 1e3:.1f}",
        f"{one.flops / 1e6:.2f}",
    ]


def _cost_note(found: Sequence[CellCost]) -> str:
    devices = sorted({device for one in found for device in one.devices})
    sizes = sorted({size for one in found for size in one.cohorts})
    shared = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}" if sizes else "none"
    return (
        "training time without tests, teacher and pre-stage, a run's share of its cohort's; memory: the most that the "
        "process, or the GPU, held; params and FLOPs as deployed; extra: trained minus deployed; "
        f"cohorts of {shared}; {', '.join(devices)}" + ("; times of unlike devices do not compare" * (len(devices) > 1))
    )
