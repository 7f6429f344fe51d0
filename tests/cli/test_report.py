"""`kdbench report` on made-up records."""

import pytest

from kdbench.report.page import watch as module
from kdbench.store.store import Store
from tests.cli.support import kdbench
from tests.report.fabricate import expansion_of, fabricate

SELECTION = ("--grid", "quick", "--methods", "student,kd")


@pytest.fixture
def results(tmp_path):
    store = Store(tmp_path / "results")
    for record in fabricate(expansion_of("quick", methods=("student", "kd"))).values():
        store.write(record)
    return store.root


def test_writes_one_file_and_says_where(tmp_path, results):
    page = tmp_path / "r.html"
    done = kdbench("report", *SELECTION, "--results", results, "-o", page)
    assert done.code == 0, done.err
    assert done.out == f"report: {page}\n"
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "<svg" in text and "version" in text
    assert f"kdbench report --grid quick --methods student,kd --results {results}" in text
    assert "setInterval" not in text, "a file does not look for a server"


def test_a_page_of_nothing_is_not_written(tmp_path, results):
    page = tmp_path / "r.html"
    done = kdbench("report", "--grid", "quick", "--methods", "dkd", "--results", results, "-o", page)
    assert done.code == 2 and f"no finished run of grid 'quick' in {results}; `kdbench run --grid quick`" in done.err
    assert not page.exists()


def test_a_folder_is_no_page(tmp_path, results):
    done = kdbench("report", *SELECTION, "--results", results, "-o", tmp_path, "--no-figures")
    assert (done.code, done.err) == (2, f"kdbench: {tmp_path} is a folder, not a file; name a file\n")


def test_without_figures(tmp_path, results):
    page = tmp_path / "r.html"
    kdbench("report", *SELECTION, "--results", results, "-o", page, "--no-figures")
    assert "<svg" not in page.read_text()


def test_another_reference_and_an_unknown_one(tmp_path, results):
    page = tmp_path / "r.html"
    assert kdbench("report", *SELECTION, "--results", results, "-o", page, "--reference", "student").code == 0
    assert "minus that of student" in page.read_text()
    wrong = kdbench("report", *SELECTION, "--results", results, "-o", page, "--reference", "studnet")
    assert wrong.code == 2 and "did you mean 'student'" in wrong.err


def test_watching_serves_a_page_that_reloads_itself(results, monkeypatch):
    served = []
    monkeypatch.setattr(module, "serve", lambda watch, port, say, stop: served.append((watch, port)))
    assert kdbench("report", *SELECTION, "--results", results, "--watch", "--port", 0, "--no-figures").code == 0
    (watch, port), *_ = served
    assert port == 0 and watch.refresh() and "setInterval" in watch.answer("/")[1]


def test_a_port_that_is_taken_is_a_sentence(results, monkeypatch):
    def taken(*_):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(module, "serve", taken)
    done = kdbench("report", *SELECTION, "--results", results, "--watch", "--port", 80)
    assert done.code == 2 and "give another --port" in done.err


def test_a_damaged_record_is_named(tmp_path, results):
    path = next((results / "records").glob("*.json"))
    path.write_text("{")
    done = kdbench("report", *SELECTION, "--results", results, "-o", tmp_path / "r.html")
    assert done.code == 0 and f"{path.name} is damaged" in done.err
