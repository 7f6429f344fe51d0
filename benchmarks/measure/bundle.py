"""What goes home: a few files, each small enough for a narrow door, packed anew after every stage."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

#: Files larger than this are named, since a transfer may refuse them.
LARGEST = 16 * 2**20


class Bundle:
    """Packs a work folder into `output`: records (no weights), reports, benchmarks with logs, teachers' weights."""

    def __init__(self, work: Path, output: Path):
        self._work = work
        self._output = output
        self._said: set[str] = set()
        output.mkdir(parents=True, exist_ok=True)

    def pack(self, summary: str) -> None:
        """Write all files anew; what is new in `summary` is printed as well."""
        self._archive("records.tar.gz", "results", ["records"])
        self._archive("report.tar.gz", ".", ["report"])
        self._archive("bench.tar.gz", ".", ["bench", "logs"])
        if weights := [f"weights/{run}.safetensors" for run in self._teachers()]:
            self._archive("weights.tar", "results", weights)
        if summary:
            (self._output / "summary.txt").write_text(f"{summary}\n")
            print("".join(f"{line}\n" for line in summary.splitlines() if line not in self._said), end="", flush=True)
            self._said.update(summary.splitlines())
        for file in sorted(self._output.iterdir()):
            if file.stat().st_size > LARGEST:
                print(f"larger than 16 MiB: {file}")

    def _teachers(self) -> list[str]:
        """Ids of finished teachers, which are the longest to train and small enough to carry."""
        records = [json.loads(file.read_text()) for file in sorted((self._work / "results" / "records").glob("*.json"))]
        return [record["id"] for record in records if record["run"]["role"] == "teacher" and record["status"] == "done"]

    def _archive(self, name: str, root: str, parts: list[str]) -> None:
        part = self._output / f"{name}.part"
        with tarfile.open(part, "w:gz" if name.endswith(".gz") else "w") as packed:
            for each in parts:
                packed.add(self._work / root / each, each)
        part.replace(self._output / name)
