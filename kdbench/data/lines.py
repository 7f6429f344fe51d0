"""Small text files that say something of images, read within limits."""

from __future__ import annotations

from pathlib import Path

from kdbench.inputs.errors import UserError

#: Bytes that such a file may have; ImageNet's own, of 50,000 images, has 2 MB.
MAX_LINES_BYTES = 2**28


def read_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8. Raises `UserError` for a file that is missing, far too long, or no such text."""
    try:
        if not path.is_file():
            raise UserError(f"{path} is no file; put it there anew.")
        with path.open("rb") as file:
            content = file.read(MAX_LINES_BYTES + 1)
        if len(content) > MAX_LINES_BYTES:
            raise UserError(f"{path} has more than {MAX_LINES_BYTES:,} bytes, which are not read; download it anew.")
        return content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); mend it or take it away.") from error
    except ValueError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error!s:.100}); download it anew.") from error
