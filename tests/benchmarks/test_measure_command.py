"""The command that measures on a GPU: options that it refuses, and signals upon which it packs what there is."""

import signal

import pytest

from benchmarks.measure import __main__ as command
from benchmarks.measure.__main__ import main

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--stage", "grid"], "unrecognized arguments: --stage"),
        (["--stages", "grids"], "unknown stage 'grids'"),
        (["--stages", "table"], "unknown stage 'table'"),
        (["--limit", "grid"], "--limit takes STAGE=SECONDS, not 'grid'"),
        (["--device"], "expected one argument"),
        (["--plan", "nowhere"], "the plan nowhere cannot be read"),
        (["--minutes", "0"], "--minutes takes 1 to 1000, not 0"),
        (["--minutes", "nan"], "--minutes takes 1 to 1000, not nan"),
        (["--minutes", "3", "--limit", "grid=60"], "leave out --limit or --minutes"),
        (["--minutes", "3", "--plan", "plan.txt"], "leave out --plan or --minutes"),
        (["--minutes", "3", "--device", "auto"], "--device takes cuda, cuda:N or cpu, not 'auto'"),
        (["--device", "cuda:"], "--device takes cuda, cuda:N or cpu, not 'cuda:'"),
        (["--minutes", "3", "--data", "nowhere"], "there is no parquet in nowhere"),
    ],
)
def test_a_wrong_option_is_refused_with_a_sentence(words, sentence, capsys, tmp_path):
    with pytest.raises(SystemExit) as refused:
        main([*words, "--work", str(tmp_path / "work"), "--output", str(tmp_path / "out")])
    assert refused.value.code == 2 and sentence in capsys.readouterr().err


def _not_heard(number, _frame):
    raise AssertionError(f"nobody heard signal {number}")


@pytest.fixture
def signals():
    before = {number: signal.signal(number, _not_heard) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.usefixtures("signals")
def test_what_there_is_is_packed_upon_a_signal_and_no_second_one_cuts_that_off(number, tmp_path, monkeypatch):
    class Bundle(command.Bundle):
        def pack(self, summary):
            for again in SIGNALS:
                signal.raise_signal(again)
            super().pack(summary)

    monkeypatch.setattr(command, "Bundle", Bundle)
    monkeypatch.setattr(command, "install", lambda *_: signal.raise_signal(number))
    with pytest.raises(SystemExit) as stopped:
        main(["--work", str(tmp_path / "work"), "--output", str(tmp_path / "out")])
    assert stopped.value.code == 128 + number
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"records.tar.gz", "report.tar.gz", "bench.tar.gz"}


@pytest.mark.usefixtures("signals")
def test_a_signal_that_was_ignored_before_stays_so(tmp_path, monkeypatch, capsys):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    monkeypatch.setattr(command, "install", lambda *_: signal.raise_signal(signal.SIGHUP))
    monkeypatch.setattr(command, "describe", lambda *_: None)
    monkeypatch.setattr(command.hours, "STAGES", {"grid": lambda given: True})
    main(["--work", str(tmp_path / "work"), "--output", str(tmp_path / "out")])
    assert "grid: done" in capsys.readouterr().out
