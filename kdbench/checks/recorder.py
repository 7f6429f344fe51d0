"""Features and batches that note what is read of them."""

from __future__ import annotations

from typing import Any

from kdbench.method import Batch
from kdbench.model import Outputs


class NotedOutputs(Outputs):
    """Outputs that note the features read."""

    __slots__ = ("read",)

    def __init__(self, outputs: Outputs, read: set[str] | None = None):
        super().__init__(outputs.owner, **{name: getattr(outputs, name) for name in outputs.features})
        self.read: set[str] = set() if read is None else read

    def _get(self, feature: Any) -> Any:
        self.read.add(feature)
        return super()._get(feature)

    def detach(self) -> Outputs:
        """Without their graph, noting to the same place."""
        return NotedOutputs(super().detach(), self.read)


class NotedBatch(Batch):
    """A batch that notes the fields read, its labels aside."""

    __slots__ = ("read",)

    def __init__(self, batch: Batch):
        super().__init__(batch.labels, **batch._values)
        self.read: set[str] = set()

    def _get(self, field: Any) -> Any:
        self.read.add(field)
        return super()._get(field)
