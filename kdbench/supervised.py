"""Training on labels alone: what teachers are trained with."""

from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.method import Batch, Method, MethodParams, Needs
from kdbench.model import Outputs


class Supervised(Method):
    """L = CE(z, y), the mean over the batch."""

    name = "supervised"
    formula = {"ce": "CE(z_S, y)"}
    needs = Needs(student=("logits",))

    class Params(MethodParams):
        """None."""

    @classmethod
    def weights(cls, params: Any) -> dict[str, float]:
        return {"ce": 1.0}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"ce": cross_entropy(student.logits, batch.labels)}
