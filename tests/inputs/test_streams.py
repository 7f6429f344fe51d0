"""Standard output of any encoding loses nothing; one that fails ends no work; foreign prints keep off it."""

from __future__ import annotations

import errno
import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdbench.cli.main import main
from kdbench.inputs.streams import Filter, Stream, aside, filtered, own_output
from kdbench.inputs.visible import visible

ENCODINGS = ("ascii", "latin-1", "cp1252", "cp437", "koi8-r", "gb18030", "utf-8", "utf-16")
TEXTS = 150


def written(text: str, encoding: str) -> str:
    """What a reader of the encoding finds where `text` was printed."""
    out = io.BytesIO()
    stream = io.TextIOWrapper(out, encoding=encoding, newline="\n")
    with redirect_stdout(stream), filtered():
        print(text, end="")
    assert not stream.closed
    return out.getvalue().decode(encoding)


@settings(max_examples=TEXTS, deadline=None)
@given(st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"])), st.sampled_from(ENCODINGS))
def test_any_text_in_any_encoding(text, encoding):
    shown = written(text, encoding)
    assert visible(shown) == shown
    assert re.sub(r"(\\u[0-9a-f]{4})+", lambda escapes: json.loads(f'"{escapes[0]}"'), shown) == text


@settings(max_examples=TEXTS, deadline=None)
@given(st.recursive(st.text() | st.floats(allow_nan=False), st.lists, max_leaves=5), st.sampled_from(ENCODINGS))
def test_json_stays_the_same_json_in_any_encoding(value, encoding):
    assert json.loads(written(json.dumps(value, ensure_ascii=False), encoding)) == value


def command(monkeypatch, out: io.TextIOBase, *words: str) -> tuple[int, str]:
    """(exit code, standard error) of a command whose standard output is `out`."""
    monkeypatch.setattr(sys, "argv", ["kdbench", *words])
    with redirect_stdout(out), redirect_stderr(io.StringIO()) as err, pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), err.getvalue()


def test_commands_in_any_encoding(monkeypatch):
    for words in (["show", "kd"], ["show", "kd", "--json"], ["table", "--grid", "quick"], ["doctor"]):
        shown = []
        for encoding in ("utf-8", "ascii", "cp1252", "utf-16"):
            out = io.BytesIO()
            code, err = command(monkeypatch, io.TextIOWrapper(out, encoding=encoding), *words)
            assert code == 0 and "Traceback" not in err
            escaped = out.getvalue().decode(encoding)
            shown.append(re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), escaped))
        assert len(set(shown)) == 1, words


class Broken(io.StringIO):
    """A stream whose every write fails, or only what it has buffered when it is flushed."""

    def __init__(self, number: int, on: str):
        super().__init__()
        self.error, self.on = OSError(number, "broken"), on

    def write(self, text):
        if self.on == "write":
            raise self.error
        return len(text)

    def flush(self):
        if not self.closed:
            raise self.error


@pytest.mark.parametrize("on", ["write", "flush"])
def test_a_full_disk_is_a_sentence_and_a_reader_that_left_is_none(monkeypatch, on):
    code, err = command(monkeypatch, Broken(errno.ENOSPC, on), "list", "recipes")
    assert code == 2 and err == "kdbench: standard output cannot be written (broken); all else is done.\n"
    assert command(monkeypatch, Broken(errno.EPIPE, on), "list", "recipes") == (0, "")
    assert command(monkeypatch, Broken(errno.ENOSPC, on), "show", "kdd")[0] == 2


def test_a_stream_fails_once_and_quietly():
    stream = Stream(Broken(errno.ENOSPC, "write"))
    assert stream.write("lost") == 4
    stream.flush()
    assert stream.failure and stream.failure.errno == errno.ENOSPC
    assert Filter(stream).lost() == "broken"


def test_no_streams_at_all(monkeypatch):
    with redirect_stdout(None), redirect_stderr(None), filtered() as out:
        print("nowhere")
        print("nowhere", file=sys.stderr)
        assert out.lost() is None


def test_foreign_prints_go_to_standard_error():
    with redirect_stdout(io.StringIO()) as told, redirect_stderr(io.StringIO()) as said, filtered() as out:
        with aside(out):
            print("foreign\x1b[2J")
            print("own", file=own_output())
        print("after")
    assert (told.getvalue(), said.getvalue()) == ("own\nafter\n", "foreign\\u001b[2J\n")


def test_a_library_that_wraps_standard_output_does_not_get_what_is_the_commands_own(monkeypatch):
    with redirect_stdout(io.StringIO()) as told, redirect_stderr(io.StringIO()), filtered() as out, aside(out):
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        print("own", file=own_output())
        monkeypatch.undo()
    assert told.getvalue() == "own\n"
