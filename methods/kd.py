"""Knowledge distillation of class predictions."""

from torch import Tensor

from kdbench.losses import ce_kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs


class KD(Method):
    """L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ), both means over the batch. No modules."""

    name = "kd"
    citation = "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015"
    formula = {"ce": "CE(z_S, y)", "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}"}
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the KD term", ge=0)
        tau: float = param(4.0, "temperature τ", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "kd": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        return kd_terms(student, teacher, batch, self.params.tau)


def kd_terms(student: Outputs, teacher: Outputs, batch: Batch, tau: float) -> dict[str, Tensor]:
    """The terms `ce` and `kd` above, which most methods add theirs to; one pass over the logits makes both."""
    ce, kd = ce_kd(student.logits, teacher.logits, batch.labels, tau)
    return {"ce": ce, "kd": kd}
