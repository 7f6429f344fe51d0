"""Knowledge adjustment."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Method, Needs, param
from kdbench.model import Outputs
from kdbench_methods.adjustment import AdjustmentParams, adjusted


class KA(Method):
    """KD from a teacher whose wrong predictions are corrected by the label.

    L = CE(z_S, y) + α·τ²·KL(A(p_T^τ) ‖ p_S^τ). A leaves a row with argmax p_T = y as it is; otherwise it swaps the
    values at argmax p_T and y (ps), or puts `smoothing` at y and (1 - smoothing)/(K-1) elsewhere (lsr).
    Logits [B, K]; no modules.
    """

    name = "ka"
    citation = "Wen, Lai, Qian: Preparing Lessons: Improve Knowledge Distillation with Better Supervision, 2019"
    formula = {"ce": "CE(z_S, y)", "kd": "τ²·KL(A(p_T^τ) ‖ p_S^τ), A = {adjust}, τ = {tau}"}
    needs = Needs(student=("logits",), teacher=("logits",), class_indices=True)

    class Params(AdjustmentParams):
        ce_weight: float = param(1.0, "weight of the label term", paper="reportedly without it", alternatives="0", ge=0)
        alpha: float = param(1.0, "weight α of the KD term", ge=0)
        tau: float = param(4.0, "temperature τ", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.ce_weight, "kd": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": kd(student.logits, adjusted(teacher.logits, batch.labels, p.tau, p), p.tau),
        }
