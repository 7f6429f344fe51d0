"""Transformed teacher matching."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs


class TTM(Method):
    """KD whose temperature softens the teacher alone: its prediction to the power γ, the student's as it is.

    L = CE(z_S, y) + β·mean_i KL(q_i ‖ p_S,i), q_i,k = p_T,i,k^γ / Σ_j p_T,i,j^γ, both p [B, K] at temperature 1.
    q is the teacher's prediction at temperature 1/γ. No τ², no modules.
    """

    name = "ttm"
    citation = "Zheng, Yang: Knowledge Distillation Based on Transformed Teacher Matching, ICLR 2024"
    formula = {"ce": "CE(z_S, y)", "kd": "mean_i KL(q_i ‖ p_S,i), q = p_T^γ / Σ_k p_T,k^γ, γ = {gamma}"}
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        beta: float = param(
            45.0,
            "weight β of the KD term",
            paper="another for each pair; this is VGG13 → VGG8's on CIFAR-100",
            alternatives="15 or less for few classes: with 10, 45 at a learning rate of 0.05 leaves ResNet8 at chance",
            ge=0,
        )
        gamma: float = param(
            0.1,
            "exponent γ of the teacher's probabilities",
            paper="another for each pair; this is VGG13 → VGG8's",
            gt=0,
        )

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "kd": params.beta}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": self.divergences(student.logits, teacher.logits).mean(),
        }

    def divergences(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """KL(q_i ‖ p_S,i) of each sample, [B]."""
        return kd(student_logits, self.params.gamma * teacher_logits, tau=1.0, reduction="none")
