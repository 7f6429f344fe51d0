"""The page that is served while a grid trains."""

import queue
import threading
import urllib.error
import urllib.request

import pytest

from kdbench.report.page import watch as module
from kdbench.report.page.watch import Watch, serve


def test_it_renders_again_only_when_a_record_changed(tmp_path):
    rendered = []
    watch = Watch(tmp_path, lambda: rendered.append(1) or f"page {len(rendered)}")
    assert watch.refresh() and not watch.refresh()
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.json.tmp").write_text("{}")
    assert watch.refresh() and not watch.refresh()
    assert watch.answer("/") == ("text/html; charset=utf-8", "page 2")
    assert watch.answer("/version")[1] == "2" and watch.answer("/other") is None


def test_it_serves_this_machine_alone_until_it_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    said, stop = queue.SimpleQueue(), threading.Event()
    watch = Watch(tmp_path, lambda: "the page")

    def server():
        try:
            serve(watch, 0, said.put, stop)
        finally:
            said.put("")

    thread = threading.Thread(target=server)
    thread.start()
    try:
        address = said.get().split()[2]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"the page"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + "etc/passwd")
    finally:
        stop.set()
        thread.join()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)
