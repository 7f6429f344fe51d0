"""Files that are whole or not there: every write of the store goes through here."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kdbench.inputs.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class NotWritten(UserError):
    """The disk refused; nothing was changed."""


class Disk:
    """The operations that storing takes, one a method, so that a test can put a failing disk in their place."""

    def create(self, path: Path) -> BinaryIO:
        """A new file, open for writing; `FileExistsError` if there is one."""
        # A plain exclusive open, not `tempfile`: results are as readable to others as the umask says.
        return path.open("xb")

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Hand all of `data` to the system."""
        file.write(data)
        file.flush()

    def link(self, source: Path, path: Path) -> None:
        """A further name for a file; `FileExistsError` if there is something of that name."""
        path.hardlink_to(source)

    def fsync(self, file: BinaryIO) -> None:
        """Make what was written to `file` outlive a loss of power, where its file system can."""
        with _where_possible("file"):
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, in one step."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def sync_folder(self, folder: Path) -> None:
        """Make creations and renames in `folder` outlive a loss of power, where its file system can."""
        if os.name == "nt":  # no folder can be opened there
            return
        with _where_possible("folder"):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


#: Files whose way to the disk is waited for at a time: a journal takes many as fast as one.
SIDE_BY_SIDE = 8
#: What the functions below work on.
disk = Disk()
#: How CIFS, VirtualBox's shared folders and several FUSE file systems say that they cannot sync something.
_UNABLE = {
    errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EPERM, errno.EACCES, errno.EISDIR,
}  # fmt: skip


@contextlib.contextmanager
def _where_possible(kind: str) -> Iterator[None]:
    """Around a sync: that it cannot be made is said once and stops nothing; that the disk failed is an error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        _say_unable(kind, error.strerror or str(error))


@functools.cache
def _say_unable(kind: str, reason: str) -> None:
    logging.getLogger(__name__).warning(
        "kdbench: warning: the file system cannot sync a %s (%s): if power is lost, what was written last may be gone "
        "or damaged, which kdbench notices and trains again; nothing else changes",
        kind,
        reason,
    )


def is_temporary(path: Path) -> bool:
    """Whether it is a file that `write_atomically` began and did not end."""
    return re.fullmatch(r"\..+\.[0-9a-f]{16}\.tmp", path.name) is not None and path.is_file()


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a reader, or a machine that loses power, sees the old file or the new one, whole.

    Raises `NotWritten` where the disk refuses; the old file is then still there.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes], displaced: Mapping[Path, Path] | None = None) -> None:
    """`write_atomically` for several files, whose way to the disk is waited for side by side.

    What is at a path goes to its place in `displaced` before, if it has one there. Raises `NotWritten` where the disk
    refuses; of each file the old or the new one is then there, or the old one in its place in `displaced`.
    """
    temporaries: dict[Path, Path] = {}
    folders = {path.parent: path for path in files}
    try:
        with contextlib.ExitStack() as opened:
            unsafe = {}
            for folder, path in folders.items():
                with _refusals(path):
                    folder.mkdir(parents=True, exist_ok=True)
            for path, data in files.items():
                with _refusals(path):
                    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
                    unsafe[path] = opened.enter_context(disk.create(temporary))
                    temporaries[path] = temporary
                    disk.write(unsafe[path], data)
            _sync(unsafe)
        for path, temporary in temporaries.items():
            with _refusals(path):
                if displaced and path in displaced:
                    with contextlib.suppress(FileNotFoundError):
                        disk.rename(path, displaced[path])
                disk.rename(temporary, path)
    except BaseException:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise
    for folder in folders:
        with _refusals(folder):
            disk.sync_folder(folder)


def _sync(files: Mapping[Path, BinaryIO]) -> None:
    """Make all outlive a loss of power."""

    def sync(path: Path) -> None:
        with _refusals(path):
            disk.fsync(files[path])

    if len(files) < 2:
        list(map(sync, files))
        return
    # Imported for no command that writes less.
    from concurrent.futures import wait

    syncing = [_threads().submit(sync, path) for path in files]
    # One that was refused closes all, which must not happen under another's hands.
    wait(syncing)
    for one in syncing:
        one.result()


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """What waits for the disk, once for all: to start it takes as long as to make a file."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(SIDE_BY_SIDE)


def create_exclusively(path: Path, data: bytes) -> bool:
    """Put `data` at `path` unless something is there; whether it was put. Of several at once, one succeeds.

    It may be gone after a loss of power. Raises `NotWritten` where the disk refuses.
    """
    with _refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = disk.create(path)
        except FileExistsError:
            return False
        try:
            with file:
                disk.write(file, data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return True


def link_exclusively(path: Path, source: Path) -> bool | None:
    """`create_exclusively` of what `source` holds, in a tenth of the time: both are one file from then on.

    None where that cannot be done: `source` is gone, or the file system knows no links.
    """
    try:
        disk.link(source, path)
    except FileExistsError:
        return False
    except OSError:
        return None
    return True


def move(source: Path, target: Path) -> None:
    """Move a file within its file system, replacing `target`; nothing where `source` is gone already.

    Raises `NotWritten` where the disk refuses.
    """
    with _refusals(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            disk.rename(source, target)
        except FileNotFoundError:
            return
        for folder in {source.parent, target.parent}:
            disk.sync_folder(folder)


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises `NotWritten` where the disk refuses."""
    with _refusals(path):
        disk.unlink(path)


def free_name(path: Path) -> Path:
    """`path`, or the first of `NAME-2`, `NAME-3`, … that is not taken."""
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return candidate


def in_the_way(path: Path) -> Path | None:
    """The file that stands where `path` would need a folder, if there is one."""
    return next((parent for parent in path.parents if parent.is_file()), None)


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotWritten(_why(path, error)) from error


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        blocking = in_the_way(path)
        if blocking:
            return f"{blocking} is a file, not a folder; name a folder"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder, not a file; name a file"
    reason = error.strerror or error
    return f"{path} cannot be written ({reason}); make room, get the permission to write there, or name another place"
