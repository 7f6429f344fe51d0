"""`allow_empty:SPEC`: image folders of which some classes may have no image, as ImageFolder's argument allows it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from kdbench.data.around import AroundSource
from kdbench.data.dataset import DatasetSource
from kdbench.data.folder import Folder, ImageFolder
from kdbench.inputs.errors import UserError


class AllowEmpty(AroundSource):
    """The same data set; an empty folder of a class keeps its label, and is no mistake."""

    name = "allow_empty"

    def of(self, source: DatasetSource) -> DatasetSource:
        if isinstance(source, Folder | ImageFolder):
            return replace(source, name=f"{self.name}:{source.name}", allow_empty=True)
        raise UserError(
            f"data set '{source.name}' has no folders of classes that could be empty; write {self.name}:folder:DIR or "
            f"{self.name}:imagefolder:DIR."
        )

    def info(self, data_dir: Path | None) -> NoReturn:
        raise self.no_source()

    def load(self, data_dir: Path | None) -> NoReturn:
        raise self.no_source()

    def locations(self, data_dir: Path | None) -> str:
        return f"image folders, classes without an image among them; name them, as in {self.name}:folder:DIR"

    def no_source(self) -> UserError:
        return UserError(f"data set '{self.name}' needs image folders; write {self.name}:folder:DIR.")
