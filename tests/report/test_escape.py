"""What plugins and files name comes out as text in every format, never as markup, a formula or a command."""

import csv
import html.parser
import io
import json
import re

import pytest

from kdbench.plugins import load_plugins
from kdbench.report.escape import csv_cell, latex, markdown
from kdbench.report.evidence import evidence
from kdbench.report.evidence import render as render_evidence
from kdbench.report.figures import series
from kdbench.report.figures.catalogue import figures
from kdbench.report.figures.inline import StyleSheet, inline_svg
from kdbench.report.figures.series import plots
from kdbench.report.formats import render
from kdbench.report.page.render import render as render_page
from kdbench.report.results import cell_results
from tests.report.fabricate import expansion_of, fabricate

EVIL = (
    "[2em] </td></script><script>alert(1)</script> <img src=x onerror=alert(1)> ![a](http://x/y)"
    ' | `c` \\input{/etc/passwd} $x$ style="}body{display:none}" {{ 7 * 7 }} \x1b[2J\u202e end'
)


@pytest.fixture(scope="module")
def hostile():
    """A grid of one table whose title and labels are EVIL, its records, and its results; one run failed for EVIL."""
    expansion = expansion_of("quick", methods=("student", "kd"), pairs=["resnet20:resnet8"], recipe={"epochs": 3})
    table = expansion.grid.tables[0]
    rows = tuple(row.model_copy(update={"label": EVIL}) for row in table.rows)
    tables = (table.model_copy(update={"rows": rows, "title": EVIL}),)
    grid = expansion.grid.model_copy(update={"tables": tables, "description": EVIL})
    expansion = type(expansion)(grid, load_plugins(), expansion.info)
    records = fabricate(expansion, failed=[expansion.cells[0].runs[0].id])
    for key, record in records.items():
        if record.failure:
            failure = record.failure.model_copy(update={"reason": EVIL, "traceback": EVIL})
            records[key] = record.model_copy(update={"failure": failure})
    return expansion, records, cell_results(expansion, records, load_plugins())


def test_latex_specials_are_set_as_they_are():
    assert latex("a_b & 50% #1 $x$ {y}") == r"a\_b \& 50\% \#1 \$x\$ \{y\}"
    assert latex("\\input{x}") == r"\textbackslash{}input\{x\}"
    # Behind a row's end, a bracket or star would be its option.
    assert latex("[2em] *") == "{[}2em{]} {*}"
    assert latex("a\n\nb\x1bc\x00") == r"a  b\texttt{U+001B}c\texttt{U+0000}"


def test_latex_writes_what_pdflatex_cannot_set_by_its_number():
    assert latex("ąŋ«") == r"\texttt{U+0105}\texttt{U+014B}\texttt{U+00AB}"
    assert latex("éøŁß ✓b") == r"éøŁß \checkmark{}b"


def test_latex_tables_hold_no_command_of_a_label(hostile):
    text = render(hostile[0], hostile[2], "latex")
    assert r"\input" not in text and "\x1b" not in text and "\u202e" not in text
    assert not re.search(r"(?m)^\s*\[", text)


def test_markdown_is_text():
    assert markdown("<b> `c` a|b *d* \\ &amp;") == r"\<b\> \`c\` a\|b \*d\* \\ &amp;amp;"
    assert markdown("![a](b) [c][d] [e]: f [0.1, 0.2]") == r"![a\](b) [c\][d] [e\]: f [0.1, 0.2]"
    assert markdown("_x_ __y__ a_ (_b) ~~c~~") == r"\_x\_ \_\_y\_\_ a\_ (\_b) \~\~c\~\~"
    assert markdown("wrn_40_2 → é_é") == "wrn_40_2 → é_é"


def test_markdown_tables_hold_no_markup_of_a_label(hostile):
    expansion, records, results = hostile
    found = evidence(results, records, load_plugins(), ["kd"])
    for text in (render(expansion, results, "markdown"), render_evidence(found, "markdown")):
        assert not re.search(r"(?<!\\)<(?!br>)", text) and not re.search(r"(?<!\\)\]\(", text)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_takes_no_text_for_a_formula(start):
    assert csv_cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"
    assert csv_cell(f"a{start}") == f"a{start}"


def test_csv_cells_of_files_and_plugins_are_no_formulas(hostile):
    expansion, _, results = hostile
    named = type(expansion.info)("=HYPERLINK(1)", 10, 8, 10, 10)
    other = type(expansion)(expansion.grid, load_plugins(), named)
    rows = list(csv.DictReader(io.StringIO(render(other, cell_results(other, {}, load_plugins()), "csv"))))
    assert {row["dataset"] for row in rows} == {"'=HYPERLINK(1)"}
    means = [row["top1_last_mean"] for row in csv.DictReader(io.StringIO(render(expansion, results, "csv")))]
    assert all(float(mean) > 0 for mean in means)


class Elements(html.parser.HTMLParser):
    """The elements of a document with their attributes, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_shows_names_as_text(hostile):
    expansion, records, _ = hostile
    text = render_page(expansion, records, load_plugins(), command=EVIL, references=["kd"])
    read = Elements(text)
    assert not [tag for tag, _ in read.found if tag == "img"]
    assert not [name for _, attributes in read.found for name in attributes if name.startswith("on")]
    assert sum(tag == "script" for tag, _ in read.found) == 2
    assert not any("alert(1)" in attributes.get("src", "") for _, attributes in read.found)
    # The data of the pop-ups stand in a script element, which ends at the first `</script`.
    data = re.search(r'<script type="application/json" id="details">(.*?)</script>', text, re.S)
    assert any("</script><script>alert(1)" in cell["title"] for cell in json.loads(data[1]))
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert "body{display" not in style.replace(" ", "")
    assert "{{ 7 * 7 }}" in text


def test_a_label_in_a_figure_is_no_style_id_or_formula(hostile, monkeypatch):
    for name in ("LABEL_LETTERS", "PANEL_LETTERS"):
        monkeypatch.setattr(series, name, len(EVIL) + 10)
    expansion, records, results = hostile
    styles = StyleSheet()
    shown = plots(expansion, results, records, load_plugins())
    for number, entry in enumerate(figures(shown, [], ["curves", "terms"])):
        svg = inline_svg(entry.figure, f"f{number}-", "label", styles)
        assert "&lt;script&gt;" in svg and 'style="}body{display:none}"' in svg
        assert "<script" not in svg and "\x1b" not in svg and r"\u001b" in svg
    assert "body" not in styles.css
