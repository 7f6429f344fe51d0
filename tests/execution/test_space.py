"""Room on disk."""

import errno
import os
import shutil
from types import SimpleNamespace

from kdbench.execution.space import free_bytes


def test_a_file_system_that_does_not_tell_its_room(tmp_path, monkeypatch):
    assert free_bytes(tmp_path) > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=0, free=0))
    assert free_bytes(tmp_path) is None

    def unable(folder):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(shutil, "disk_usage", unable)
    assert free_bytes(tmp_path) is None
