"""The page as text: complete, self-contained, small enough, and safe against what names may hold."""

import html.parser
import json
import re

import pytest

from kdbench.cells import Expansion
from kdbench.method import Method
from kdbench.plugins import load_plugins
from kdbench.report.evidence import evidence
from kdbench.report.page.evidence import parts
from kdbench.report.page.render import render
from kdbench.report.results import cell_results
from tests.report.fabricate import expansion_of, fabricate, record

LIMIT = 1_000_000


class Reader(html.parser.HTMLParser):
    """Elements, ids and addresses of a document; complains of tags that do not match."""

    VOID = {"meta", "link", "input", "br", "path", "use"}

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.addresses, self.names = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[name] for name in ("src", "href", "xlink:href", "action") if found.get(name)]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(expansion, records, **options):
    settings = {"command": "kdbench report --grid g", "references": ["kd", "student"], **options}
    return render(expansion, records, load_plugins(), **settings)


@pytest.fixture(scope="module")
def whole():
    """The whole `cifar100` grid with one failed, one diverged and two missing runs."""
    expansion = expansion_of("cifar100")
    runs = [run for cell in expansion.cells for run in cell.runs]
    records = fabricate(expansion, failed=[runs[100].id], diverged=[runs[50].id], without=[r.id for r in runs[-8:-6]])
    return expansion, records, page(expansion, records)


def test_the_whole_grid_is_one_file_of_at_most_a_megabyte(whole):
    _, records, text = whole
    assert len(records) == 196
    assert len(text.encode()) <= LIMIT
    found = Reader(text)
    assert len(set(found.ids)) == len(found.ids)
    outside = [address for address in found.addresses if not address.startswith(("#", "data:,"))]
    assert outside == [] and "@import" not in text and "url(http" not in text


def test_every_number_leads_to_a_record(whole):
    expansion, records, text = whole
    details = json.loads(re.search(r'id="details">(.*?)</script>', text, re.S)[1])
    assert len(details) == len(expansion.cells)
    for cell, found in zip(expansion.cells, details, strict=True):
        assert [seed["id"] for seed in found["seeds"]] == [run.id for run in cell.runs]
        for seed in found["seeds"]:
            record = records.get(seed["id"])
            if record and record.status == "done":
                assert seed["last"] == f"{record.top1_last:.2f}" and seed["best"] == f"{record.top1_best:.2f}"
            else:
                assert seed["status"] == (record.status if record else "not run")
    assert all(f'id="r{run_id}"' in text for run_id in records)
    record = next(iter(records.values()))
    assert record.data_sha256 in text and record.source.sha256 in text
    assert record.environment["commit"] in text and record.environment["device"] in text


@pytest.mark.parametrize(("right", "of", "shown"), [(734, 797, "92.10"), (561, 800, "70.12")])
def test_a_run_has_one_number_on_its_card_and_in_the_tables(right, of, shown):
    expansion = expansion_of("cifar100", tables=("table1",), methods=("student",), seeds=[0])
    found = {run.id: record(run, load_plugins(), top1=100 * right / of) for c in expansion.cells for run in c.runs}
    text = page(expansion, found, references=["student"], with_figures=False)
    details = json.loads(re.search(r'id="details">(.*?)</script>', text, re.S)[1])
    assert {seed["last"] for cell in details for seed in cell["seeds"]} == {shown}
    assert f'<span class="last">{shown}</span>' in text and f'<td class="number">{shown}</td>' in text
    published = [float(number) for number in re.findall(r"paper (\d+\.\d+)", text)]
    assert [float(cell["paper"].split(" ± ")[0]) for cell in details] == published
    sides = ["above" if float(shown) > mean else "below" for mean in published]
    assert [cell["difference"]["last"].split()[1] for cell in details] == sides
    differences = re.findall(r'<b class="last">[+−](\d+\.\d+)</b>', text)
    assert [cell["difference"]["last"].split()[0] for cell in details] == differences


def test_failures_are_shown_with_their_reasons_and_nothing_is_markup(whole):
    text = whole[2]
    assert "RuntimeError: made up &lt;b&gt;&amp; not bold&lt;/b&gt;" in text
    assert "<b>& not bold" not in text
    assert "1 failed" in text and "1 diverged" in text and "2 not run" in text
    assert "failed, 2 of 3 seeds" in text and "diverged, 2 of 3 seeds" in text


def test_the_paper_s_numbers_stand_beside_with_their_source(whole):
    text = whole[2]
    assert "paper 76.50" in text and "Deeply-Supervised Knowledge Distillation, Table 1" in text


def test_the_command_that_makes_it_again_is_there(whole):
    assert "kdbench report --grid g" in whole[2] and "kdbench run --grid made-up" in whole[2]


def test_a_page_without_any_record_says_so():
    text = page(expansion_of("quick"), {})
    Reader(text)
    assert "42 not run" in text and '<figure class="curves"' not in text


def test_a_page_without_figures_has_none():
    expansion = expansion_of("quick", methods=("student", "kd"))
    text = page(expansion, fabricate(expansion), with_figures=False)
    assert "<svg" not in text and "Figures" not in text


def test_a_method_without_weights_fails_its_runs_and_not_the_page(monkeypatch):
    expansion = expansion_of("cifar100", tables=("table1",), pairs=("vgg13:vgg8",), methods=("student", "kd"))
    runs = [run for cell in expansion.cells for run in cell.runs]
    records = fabricate(expansion, failed=[run.id for run in runs if run.method == "kd"])
    monkeypatch.setattr(load_plugins().method("kd"), "weights", Method.weights)
    assert "RuntimeError: made up" in page(expansion, records)


def test_names_from_files_cannot_become_markup():
    expansion = expansion_of("quick", methods=("student", "kd"), pairs=("resnet20:resnet8",))
    table = expansion.grid.tables[0]
    evil = "</script><script>alert(1)</script>\"'$x_1$"
    rows = tuple(row.model_copy(update={"label": evil}) for row in table.rows)
    grid = expansion.grid.model_copy(
        update={"description": evil, "tables": (table.model_copy(update={"rows": rows, "title": evil}),)}
    )
    hostile = type(expansion)(grid, load_plugins(), expansion.info)
    text = page(hostile, fabricate(hostile), command=evil)
    assert "<script>alert" not in text and text.count("</script>") == 2
    Reader(text)


def test_runs_of_different_teachers_are_warned_of():
    expansion = expansion_of("quick", methods=("student", "kd", "dskd"))
    records = fabricate(expansion)
    one = expansion.cells[-1].runs[0].id
    basis = records[one].basis.model_copy(update={"teacher_sha256": "99" * 32})
    records[one] = records[one].model_copy(update={"basis": basis})
    text = page(expansion, records, with_figures=False)
    assert "its runs had 2 different teachers" in text
    assert "different teachers" not in page(expansion, fabricate(expansion), with_figures=False)


def test_bold_marks_the_highest_complete_mean():
    expansion = expansion_of("quick", methods=("student", "kd"), pairs=("resnet20:resnet8",))
    text = page(expansion, fabricate(expansion), with_figures=False)
    assert text.count('<span class="last first">') == 1 and text.count('<span class="best first">') == 1


def test_a_table_may_have_the_name_of_a_method():
    quick = expansion_of("quick", methods=("student", "kd", "dkd"))
    named = tuple(table.model_copy(update={"name": "kd"}) for table in quick.grid.tables)
    expansion = Expansion(quick.grid.model_copy(update={"tables": named}), load_plugins(), quick.info)
    records = fabricate(expansion)
    found = evidence(cell_results(expansion, records, load_plugins()), records, load_plugins(), ["student"])
    labels = {cell.label: cell.row.method for cell in expansion.cells}
    for part in parts(found, expansion):
        column = part.header.index("method")
        assert {row.method for row in part.rows} >= {"kd", "dkd"}
        assert all(row.method == labels.get(row.texts[column], row.texts[column]) for row in part.rows)
        assert all(bool(row.pair) == ("pair" in part.header) for row in part.rows)


def test_the_filter_has_methods_under_what_they_learn_from(whole):
    fieldset = whole[2].split('<fieldset data-filter="method">')[1].split("</fieldset>")[0]
    found = re.findall(r"<b>(.*?)</b>|value=\"(.*?)\"", fieldset)
    assert [kind or method for kind, method in found] == [
        *("labels alone", "student", "dsn", "byot", "dks"),
        *("the teacher&#39;s logits", "kd"),
        *("the teacher&#39;s maps", "fitnet", "at", "vid", "dskd"),
    ]
