"""The page served on this machine alone, written anew whenever a record changes."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from pathlib import Path

#: How often the records are looked at, in seconds.
POLL_SECONDS = 2.0


class Watch:
    """A page and the version it has, kept up to date with a folder of records. `render` gives the page."""

    def __init__(self, folder: Path, render: Callable[[], str]):
        self._folder = folder
        self._render = render
        self._lock = threading.Lock()
        self._state: object = None
        self._version = 0
        self._page = ""

    def refresh(self) -> bool:
        """Render again if a record came, changed or went; whether it did."""
        state = _state(self._folder)
        if state == self._state:
            return False
        page = self._render()
        with self._lock:
            self._page, self._state, self._version = page, state, self._version + 1
        return True

    def answer(self, path: str) -> tuple[str, str] | None:
        """(content type, text) for `/` and `/version`, None for anything else."""
        with self._lock:
            return {
                "/": ("text/html; charset=utf-8", self._page),
                "/version": ("text/plain; charset=utf-8", f"{self._version}"),
            }.get(path)


def serve(watch: Watch, port: int, say: Callable[[str], None], stop: threading.Event) -> None:
    """Serve on 127.0.0.1 until `stop` is set; port 0 takes a free one. Ctrl-C passes through."""
    watch.refresh()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler(watch))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    say(f"watching at http://127.0.0.1:{server.server_port}/ (Ctrl-C ends)")
    try:
        while not stop.wait(POLL_SECONDS):
            watch.refresh()
    finally:
        server.shutdown()
        server.server_close()


def _handler(watch: Watch) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = watch.answer(self.path.partition("?")[0])
            content, text = found or ("text/plain; charset=utf-8", "there is nothing here")
            data = text.encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing of requests."""

    return Handler


def _state(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Names, times and sizes of the records."""
    found = []
    for path in folder.glob("*.json"):
        try:
            status = path.stat()
        except FileNotFoundError:  # replaced between the two calls
            continue
        found.append((path.name, status.st_mtime_ns, status.st_size))
    return frozenset(found)
