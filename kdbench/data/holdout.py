"""`holdout:SPEC`: another data set's training images alone, a tenth of them held out in the place of its test set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from kdbench.data.around import AroundSource
from kdbench.data.dataset import DatasetInfo, DatasetSource, make_dataset
from kdbench.data.remember import State, reader, remember, remembered
from kdbench.data.split import Split
from kdbench.data.stratified import stratified
from kdbench.data.streamed import AnyDataset, Part, StreamedDataset, make_streamed_dataset
from kdbench.inputs.errors import UserError


@dataclass(frozen=True)
class Holdout(AroundSource):
    """What parameters and epochs are chosen on, so that the test set has no part in the choice.

    The same images are held out every time, as many of each class as its share. Normalisation stays the data set's own.
    """

    name: str = "holdout"
    source: DatasetSource | None = None

    def of(self, source: DatasetSource) -> Holdout:
        """The hold-out of `source`."""
        return Holdout(f"{self.name}:{source.name}", source)

    @property
    def label(self) -> str:
        return f"{self._source.label}-holdout"

    def info(self, data_dir: Path | None) -> DatasetInfo:
        return self.known(data_dir) or self.load(data_dir).info

    def known(self, data_dir: Path | None) -> DatasetInfo | None:
        whole = self._source.known(data_dir)
        if whole is None:
            return None
        held_out = self._held_out(whole)
        if whole.checksum is None:
            return held_out
        if whole.input_size is None:
            return replace(held_out, checksum=_listed(whole))
        if found := remembered(_state(whole)):
            # Copies of other names are remembered as one.
            return replace(held_out, checksum=found.checksum)
        return None if self.available(data_dir) else held_out

    def load(self, data_dir: Path | None) -> AnyDataset:
        import torch

        whole = self._source.load(data_dir)
        info = self._held_out(whole.info)
        parts = stratified(whole.train.labels.tolist(), info.train_size)
        if isinstance(whole, StreamedDataset):
            listed = replace(info, checksum=_listed(whole.info))
            first, second = (Part(whole.train, torch.tensor(part)) for part in parts)
            statistics = whole.mean, whole.std
            return make_streamed_dataset(listed, whole.classes, first, second, statistics, notes=whole.notes)
        train, held = (Split(whole.train.images[part], whole.train.labels[part]) for part in parts)
        dataset = make_dataset(info.name, whole.classes, train, held, (whole.mean, whole.std), notes=whole.notes)
        remember(_state(whole.info), dataset.info)
        return dataset

    def locations(self, data_dir: Path | None) -> str:
        if self.source is None:
            return "a tenth of another one's training images; name that one, as in holdout:digits"
        return self.source.locations(data_dir)

    def available(self, data_dir: Path | None) -> bool:
        return self._source.available(data_dir)

    def _held_out(self, info: DatasetInfo) -> DatasetInfo:
        held = info.train_size // 10
        if not held:
            raise UserError(
                f"data set '{info.name}' has {info.train_size} training images; a hold-out needs at least 10."
            )
        return replace(
            info, name=f"{info.name}-holdout", train_size=info.train_size - held, test_size=held, checksum=None
        )

    @property
    def _source(self) -> DatasetSource:
        if self.source is None:
            raise self.no_source()
        return self.source

    def no_source(self) -> UserError:
        return UserError(f"data set '{self.name}' holds out images of another data set; write {self.name}:NAME.")


def _state(whole: DatasetInfo) -> State:
    """What a hold-out follows from."""
    return State(f"holdout {whole.checksum} {reader()}", settled=True)


def _listed(whole: DatasetInfo) -> str:
    """The checksum of a streamed data set's hold-out, which follows from the whole's."""
    return hashlib.sha256(f"holdout {whole.checksum}".encode()).hexdigest()
