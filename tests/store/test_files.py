"""A file is whole or not there."""

import os
import stat

import pytest

from kdbench.inputs.errors import UserError
from kdbench.store.files import write_atomically


def test_writes_and_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "b.json"
    write_atomically(path, b"one")

    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"b\.json cannot be written \(no space left on device\); make room, .*place$"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_and_a_folder_in_the_way_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "file" / "deeper" / "x"):
        with pytest.raises(UserError, match=f"^{tmp_path / 'file'} is a file, not a folder; name a folder$"):
            write_atomically(path, b"")
    with pytest.raises(UserError, match=f"^{tmp_path / 'folder'} is a folder, not a file; name a file$"):
        write_atomically(tmp_path / "folder", b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
