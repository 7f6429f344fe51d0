"""A disk that fails at the k-th operation: by an error, or by a loss of power that takes what was not synced."""

import errno
from pathlib import Path
from typing import Literal

from kdbench.store.files import Disk

Fault = Literal["error", "power loss", "power loss after the folder was written"]
FAULTS: tuple[Fault, ...] = ("error", "power loss", "power loss after the folder was written")


class PowerLoss(BaseException):
    """The machine is off: nothing catches this."""


class FaultyDisk(Disk):
    """Works on real files and keeps beside them what of them would outlive a loss of power.

    Every operation (open for writing, link, write, fsync, rename, unlink, fsync of a folder) counts, from 1; number
    `at` fails. Without power all later ones fail as well. What a file holds is lost unless it was fsynced; which names
    a folder has is lost unless the folder was, or else kept while the contents are not: a disk may write them in either
    order.
    """

    def __init__(self, at: int = 0, fault: Fault = "error"):
        self.count = 0
        self._at = at
        self._fault = fault
        self._files = 0
        #: Name → number of the file that it means now; number → contents that are safe; folder → names that are safe.
        self._names: dict[Path, int] = {}
        self._contents: dict[int, bytes] = {}
        self._folders: dict[Path, dict[Path, int]] = {}
        self._survivors: dict[Path, bytes] | None = None

    def create(self, path):
        self._operate()
        file = super().create(path)
        self._files += 1
        self._names[path], self._contents[self._files] = self._files, b""
        return file

    def link(self, source, path):
        self._operate()
        super().link(source, path)
        self._names[path] = self._names[source]

    def write(self, file, data):
        if self._due():
            # Half of it arrives.
            super().write(file, data[: len(data) // 2])
        self._operate()
        super().write(file, data)

    def fsync(self, file):
        self._operate()
        super().fsync(file)
        path = Path(file.name)
        self._contents[self._names[path]] = path.read_bytes()

    def rename(self, source, target):
        self._operate()
        super().rename(source, target)
        self._names[target] = self._names.pop(source)

    def unlink(self, path):
        self._operate()
        super().unlink(path)
        self._names.pop(path, None)

    def sync_folder(self, folder):
        self._operate()
        super().sync_folder(folder)
        self._folders[folder] = {path: number for path, number in self._names.items() if path.parent == folder}

    def restart(self, root: Path) -> None:
        """Leave in `root` what the loss of power left; nothing to do where there was none."""
        if self._survivors is None:
            return
        for path in root.rglob("*"):
            if path.is_file():
                path.unlink()
        for path, content in self._survivors.items():
            path.write_bytes(content)

    def _due(self) -> bool:
        return self.count + 1 == self._at

    def _operate(self) -> None:
        if self._survivors is not None:
            raise PowerLoss
        due, self.count = self._due(), self.count + 1
        if not due:
            return
        if self._fault == "error":
            raise OSError(errno.EIO, "Input/output error")
        names = self._names
        if self._fault == "power loss":
            names = {path: number for folder in self._folders.values() for path, number in folder.items()}
        self._survivors = {path: self._contents[number] for path, number in names.items()}
        raise PowerLoss
