"""A file is whole or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from kdbench.inputs.errors import UserError
from kdbench.store import files
from kdbench.store.files import Disk, move, write_atomically, write_together


def refusing(code):
    """A call of the system that fails."""

    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    return fail


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


def test_several_come_together_and_what_they_displace_is_kept(tmp_path):
    new = {tmp_path / name / "x": name.encode() for name in "abc"}
    old, kept = tmp_path / "a" / "x", tmp_path / "a" / "before"
    write_together(dict.fromkeys(new, b"old"))
    write_together(new, {old: kept, tmp_path / "b" / "none": tmp_path / "b" / "before"})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == new | {kept: b"old"}


def test_where_one_of_several_is_refused_all_old_ones_stay(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in "abc"]
    write_together(dict.fromkeys(paths, b"old"))

    class Full(Disk):
        def fsync(self, file):
            if ".b." in file.name:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "disk", Full())
    with pytest.raises(UserError, match=r"/b cannot be written \(No space left on device\)"):
        write_together(dict.fromkeys(paths, b"new"), {paths[0]: tmp_path / "before"})
    assert sorted(tmp_path.iterdir()) == paths and {path.read_bytes() for path in paths} == {b"old"}


def test_a_file_and_a_folder_in_the_way_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "file" / "deeper" / "x"):
        with pytest.raises(UserError, match=f"^{tmp_path / 'file'} is a file, not a folder; name a folder$"):
            write_atomically(path, b"")
    with pytest.raises(UserError, match=f"^{tmp_path / 'folder'} is a folder, not a file; name a file$"):
        write_atomically(tmp_path / "folder", b"")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EPERM])
def test_a_file_system_that_cannot_sync_works_and_is_told_once(tmp_path, monkeypatch, caplog, code):
    files._say_unable.cache_clear()
    monkeypatch.setattr(os, "fsync", refusing(code))
    for content in (b"one", b"two"):
        write_atomically(tmp_path / "x", content)
        move(tmp_path / "x", tmp_path / "moved" / "x")
    assert (tmp_path / "moved" / "x").read_bytes() == b"two"
    said = [record.getMessage() for record in caplog.records]
    assert [sentence.partition("(")[0] for sentence in said] == [
        f"kdbench: warning: the file system cannot sync a {kind} " for kind in ("file", "folder")
    ]
    files._say_unable.cache_clear()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_to_sync_is_an_error(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", refusing(code))
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "x", b"one")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_may_not_be_listed_can_be_written_to(tmp_path, monkeypatch, caplog):
    files._say_unable.cache_clear()
    monkeypatch.setattr(os, "open", refusing(errno.EACCES))
    Disk().sync_folder(tmp_path)
    assert "cannot sync a folder (Permission denied)" in caplog.text
    files._say_unable.cache_clear()


def test_what_cannot_be_replaced_is_refused_and_stays(tmp_path, monkeypatch):
    write_atomically(tmp_path / "x", b"one")
    monkeypatch.setattr(Path, "replace", refusing(errno.EPERM))
    with pytest.raises(UserError, match=r"x cannot be written \(Operation not permitted\)"):
        write_atomically(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one" and len([*tmp_path.iterdir()]) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_what_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644
