"""The page in headless Chromium: no console errors, sorting and filters work, a screenshot is made."""

import os
import shutil
from pathlib import Path

import pytest

from kdbench.plugins import load_plugins
from kdbench.report.page.render import render
from tests.report.fabricate import expansion_of, fabricate

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install 'kdbench[test]'"
)

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium")

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """One that is waited for as long as it takes."""
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=BROWSER, args=QUIET, timeout=0)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    expansion = expansion_of("quick", methods=("student", "kd", "dskd"))
    records = fabricate(expansion, failed=[expansion.cells[0].runs[0].id])
    text = render(expansion, records, load_plugins(), command="kdbench report", references=["kd"])
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text)
    return path


@pytest.fixture
def page(browser, file):
    """The page opened; the test fails if its console says anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(0)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.goto(file.as_uri())
    yield page
    page.close()
    assert said == []


def column(page, number):
    cells = page.locator("figure.table tbody tr").all()
    return [float(row.locator("td").nth(number).get_attribute("data-last")) for row in cells]


def test_a_click_on_a_header_sorts_and_says_so(page):
    header = page.locator("figure.table thead th").nth(1)
    button = header.locator("button")
    button.click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, 0) == sorted(column(page, 0), reverse=True)
    button.focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, 0) == sorted(column(page, 0))
    name = page.locator("figure.table thead th").first
    name.locator("button").click()
    names = page.locator("figure.table tbody th").all_inner_texts()
    assert names == sorted(names) and header.get_attribute("aria-sort") == "none"


def test_filters_reach_tables_and_figures(page):
    page.locator("details.pick summary").nth(1).click()
    page.get_by_label("dskd").uncheck()
    assert page.locator("figure.table tbody tr:visible").count() == 2
    assert page.locator("figure.curves [data-row='2']").first.is_visible() is False
    assert page.locator("details.pick output").nth(1).inner_text() == "2 of 3"
    page.keyboard.press("Escape")
    page.locator("details.pick summary").first.click()
    page.get_by_label("resnet20 → resnet8").uncheck()
    assert page.locator("figure.table thead th[data-pair]:visible").count() == 1
    assert page.locator("section.figures:visible").count() == 1


def test_the_best_epoch_is_a_second_labelled_choice(page):
    assert page.locator(".only-best").is_visible() is False
    page.get_by_text("best epoch", exact=True).click()
    assert page.locator(".only-best").is_visible()
    assert page.locator("figure.table td .last:visible").count() == 0


def test_a_cell_tells_its_seeds_and_records(page):
    cell = page.locator("button.cell").nth(3)
    card = page.locator("#card")
    for reach in (cell.hover, cell.focus):
        reach()
        assert card.is_visible()
        assert "seed 0" in card.inner_text() and "records/" in card.inner_text()
        page.keyboard.press("Escape")
        assert not card.is_visible()


def test_a_card_s_numbers_are_those_of_the_runs_below(page):
    page.locator("details.runs summary").click()
    page.locator("button.cell").nth(3).hover()
    for line in page.locator("#card tr").all():
        _, number, file = line.locator("td").all_inner_texts()
        run = file.removeprefix("records/").removesuffix(".json")
        assert number == page.locator(f"#r{run} td.number").nth(1).inner_text() + " %"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_screenshot_is_made_and_nothing_runs_over_the_side(browser, file, tmp_path, scheme, width):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(0)
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    folder = Path(os.environ.get("KDBENCH_SCREENSHOTS", tmp_path))
    shot = folder / f"report-{scheme}-{width}.png"
    page.screenshot(path=shot, full_page=True)
    assert shot.stat().st_size > 10_000
    page.close()


def test_it_prints_with_every_run(page):
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.runs table").is_visible()
    assert page.locator("nav.bar").is_visible() is False
