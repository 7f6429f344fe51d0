"""Downloads: https alone, continued, checked. The server is on this machine and speaks http, so tests let that in."""

import hashlib
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kdbench.data import download as module
from kdbench.data.download import download
from kdbench.inputs.errors import UserError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
MOST = len(CONTENT)


class Server:
    """What is served, how it misbehaves, and the ranges that were asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.breaks_after: int | None = None
        self.redirect: str | None = None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.ranges.append(asked)
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.knows_ranges else 0
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        end = len(self.content) if self.breaks_after is None else start + self.breaks_after
        handler.wfile.write(self.content[start:end])


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *arguments: Any):
        self.behaviour = server
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.behaviour.answer(self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    behaviour = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, behaviour))
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    behaviour.url = f"http://127.0.0.1:{http.server_port}/file"
    yield behaviour
    http.shutdown()
    http.server_close()


@pytest.fixture
def let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEMES", (urllib.request.HTTPHandler,))


def get(server: Server, path: Path, **options: Any) -> None:
    download(server.url, path, **{"md5": MD5, "most": MOST, **options})


def test_a_file_is_there_whole(server: Server, let_in: None, tmp_path: Path) -> None:
    get(server, tmp_path / "new" / "file")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT


def test_nothing_but_https_is_spoken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(CONTENT)
    for url in (server.url, f"file://{tmp_path}/local", "ftp://127.0.0.1/x", "data:,x"):
        with pytest.raises(UserError, match="unknown url type"):
            download(url, tmp_path / "file", md5=MD5, most=MOST)
    assert not server.ranges and [path.name for path in tmp_path.iterdir()] == ["local"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "https://127.0.0.1:1/x"])
def test_a_redirection_leads_to_no_other_scheme(server: Server, let_in: None, tmp_path: Path, target: str) -> None:
    server.redirect = target
    with pytest.raises(UserError, match="cannot be downloaded"):
        get(server, tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_broken_download_is_continued(server: Server, let_in: None, tmp_path: Path) -> None:
    server.breaks_after = 300_000
    for place in (300_000, 600_000, 900_000):
        with pytest.raises(UserError, match=r"the connection ended .* bytes early.*run again to go on"):
            get(server, tmp_path / "file")
        assert (tmp_path / "file.part").read_bytes() == CONTENT[:place]
    get(server, tmp_path / "file")
    assert server.ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT and not (tmp_path / "file.part").exists()


def test_a_server_that_knows_no_ranges_begins_anew(server: Server, let_in: None, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    server.knows_ranges = False
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_whole_is_taken(server: Server, let_in: None, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Server, let_in: None, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    with pytest.raises(UserError, match=f"whose md5 is .*, not {MD5}"):
        get(server, tmp_path / "file")
    assert not list(tmp_path.iterdir())
    get(server, tmp_path / "file")


def test_an_answer_without_end_is_cut(server: Server, let_in: None, tmp_path: Path) -> None:
    server.content = CONTENT * 3
    with pytest.raises(UserError, match=f"it is longer than {MOST:,} bytes"):
        get(server, tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size <= MOST
