"""What goes home: a few files, each small enough for a narrow door, packed anew after every stage."""

from __future__ import annotations

import tarfile
from pathlib import Path

#: Files larger than this are named, since a transfer may refuse them.
LARGEST = 16 * 2**20


class Bundle:
    """Packs a work folder into `output`: records (no weights), reports, benchmarks with logs, teachers' weights."""

    def __init__(self, work: Path, output: Path):
        self._work = work
        self._output = output
        output.mkdir(parents=True, exist_ok=True)

    def pack(self, summary: str) -> None:
        """Write all files anew; `summary` is printed as well."""
        self._archive("records.tar.gz", "results", ["records"])
        self._archive("report.tar.gz", ".", ["report"])
        self._archive("bench.tar.gz", ".", ["bench", "logs"])
        if summary:
            (self._output / "summary.txt").write_text(f"{summary}\n")
            print(summary, flush=True)
        for file in sorted(self._output.iterdir()):
            if file.stat().st_size > LARGEST:
                print(f"larger than 16 MiB: {file}")

    def _archive(self, name: str, root: str, folders: list[str]) -> None:
        part = self._output / f"{name}.part"
        with tarfile.open(part, "w:gz", compresslevel=6) as packed:
            for folder in folders:
                packed.add(self._work / root / folder, folder)
        part.replace(self._output / name)
