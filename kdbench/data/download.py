"""One file from the network: over https alone, continued where it stopped, kept only if its checksum is right."""

from __future__ import annotations

import hashlib
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

from kdbench.inputs.errors import UserError

#: Seconds without an answer.
TIMEOUT = 60
_BLOCK = 2**20
#: What an opener needs beside its schemes.
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)
#: The only scheme, also for redirections: there is no handler for http, ftp or file.
SCHEMES: tuple[type[urllib.request.BaseHandler], ...] = (urllib.request.HTTPSHandler,)


class NotDownloaded(UserError):
    """A file that an address did not give; `reason` leaves out what to do."""

    def __init__(self, reason: str, path: Path):
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{self.reason}; run again to go on, or put the file at {self.path}."


def download(url: str, path: Path, *, md5: str, most: int) -> None:
    """Put what `url` gives, at most `most` bytes with this md5, at `path`.

    It gathers in `PATH.part`, which stays after an interruption and is continued by the next call. Raises
    `NotDownloaded` for an address that cannot be read, for an answer that is too long, and for a wrong checksum.
    """
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, part, most)
    except (OSError, HTTPException, ValueError) as error:
        raise NotDownloaded(f"{url} cannot be downloaded: {error}", path) from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        part.unlink(missing_ok=True)
        raise NotDownloaded(f"{url} gave a file whose md5 is {found}, not {md5}", path)
    part.replace(path)


def _fetch(url: str, part: Path, most: int) -> None:
    """Fill `part` up to the end of what the address gives."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = _opener().open(request, timeout=TIMEOUT)
    except HTTPError as error:
        # Nothing lies behind the end: the file was whole already, or is not ours, which its md5 tells.
        if have and error.code == 416:
            return
        raise
    part.touch()
    # At its place and not appended: two processes at once write the same bytes to the same places.
    with answer, part.open("r+b") as file:
        file.seek(have if _continues(answer, have) else 0)
        while block := answer.read(_BLOCK):
            if file.tell() + len(block) > most:
                raise ValueError(f"it is longer than {most:,} bytes")
            file.write(block)
        if answer.length:
            raise ValueError(f"the connection ended {answer.length:,} bytes early")
        file.truncate()


def _continues(answer: HTTPResponse, have: int) -> bool:
    return answer.status == 206 and (answer.getheader("Content-Range") or "").startswith(f"bytes {have}-")


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (*_HANDLERS, *SCHEMES):
        opener.add_handler(handler())
    return opener
