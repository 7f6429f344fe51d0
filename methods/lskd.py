"""Logit standardisation in knowledge distillation."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs

#: What the authors add to the standard deviation, so that constant logits stay finite.
EPSILON = 1e-7


class LSKD(Method):
    """KD of logits that are standardised first: the student need not reach the teacher's range of logits.

    L = λ_CE·CE(z_S, y) + λ_KD·τ²·KL(softmax(Z(z_T)/τ) ‖ softmax(Z(z_S)/τ)), Z(z) = (z − mean z) / std z over the K
    logits [B, K] of a sample, std with K − 1 in the denominator. Z's gradient is not cut. No modules.
    """

    name = "lskd"
    citation = "Sun, Ren, Li, Wang, Cao: Logit Standardization in Knowledge Distillation, CVPR 2024"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p(Z(z_T)) ‖ p(Z(z_S))), Z(z) = (z − mean z) / std z, p = softmax at τ = {tau}",
    }
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        ce_weight: float = param(0.1, "weight λ_CE of the labels' loss", ge=0)
        alpha: float = param(
            9.0, "weight λ_KD of the KD term", alternatives="1 or 12 for some of the authors' pairs", ge=0
        )
        tau: float = param(
            2.0, "temperature τ of standardised logits", alternatives="3 or 4 for some of the authors' pairs", gt=0
        )

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.ce_weight, "kd": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": kd(standardised(student.logits), standardised(teacher.logits), self.params.tau),
        }


def standardised(logits: Tensor) -> Tensor:
    """Logits [B, K] with mean 0 and standard deviation 1 in each row; 0 where a row is constant."""
    mean, std = logits.mean(dim=1, keepdim=True), logits.std(dim=1, keepdim=True)
    return (logits - mean) / (std + EPSILON)
