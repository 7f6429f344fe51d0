"""A data set as a command uses it: named at once, loaded when its images are needed, and then once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kdbench.data.dataset import DatasetInfo, DatasetSource
from kdbench.data.streamed import AnyDataset
from kdbench.inputs.errors import UserError


@dataclass(frozen=True)
class OpenDataset:
    """A source and the folder that it reads from."""

    source: DatasetSource
    data_dir: Path | None

    @cached_property
    def info(self) -> DatasetInfo:
        """Name and sizes, and the checksum where it is known; local data are decoded where they are not known yet."""
        return self.source.known(self.data_dir) or self.loaded.info

    @cached_property
    def loaded(self) -> AnyDataset:
        """The data set on the CPU. Raises `UserError` where it is missing, damaged, or not what `info` said before."""
        dataset, named = self.source.load(self.data_dir), vars(self).get("info")
        if named and named.checksum not in (None, dataset.checksum):
            raise UserError(f"data set '{named.name}' is not what it was when this command began; run again.")
        if named and named.name != dataset.info.name:
            raise UserError(
                f"data set '{named.name}' is called '{dataset.info.name}' once it is loaded, and its runs would bear "
                "the wrong name; let its source say one name in info and in load."
            )
        return dataset

    @property
    def available(self) -> bool:
        """Whether it is on this machine."""
        return self.source.available(self.data_dir)
