"""Schemes whose argument is another data set, as in `holdout:digits`."""

from __future__ import annotations

from abc import abstractmethod

from kdbench.data.dataset import DatasetSource
from kdbench.inputs.errors import UserError


class AroundSource(DatasetSource):
    """A source that makes something of another one."""

    @abstractmethod
    def of(self, source: DatasetSource) -> DatasetSource:
        """What `name:SPEC` means, where SPEC means `source`."""

    def with_argument(self, argument: str) -> DatasetSource:
        raise self.no_source()

    @abstractmethod
    def no_source(self) -> UserError:
        """What to say where no other data set is named."""
