"""Weighted transformed teacher matching."""

from torch import Tensor

from kdbench.method import param
from kdbench_methods.ttm import TTM


class WTTM(TTM):
    """TTM with a weight for each sample: the smoother the teacher's prediction, the greater.

    L = CE(z_S, y) + β·mean_i U_i·KL(q_i ‖ p_S,i), U_i = Σ_k p_T,i,k^γ, q as in TTM. No modules.
    The defaults stand in the authors' README for VGG13 → VGG8, beside CRD; what they took without it is not known.
    """

    name = "wttm"
    formula = {"ce": "CE(z_S, y)", "kd": "mean_i U_i·KL(q_i ‖ p_S,i), U = Σ_k p_T,k^γ, q = p_T^γ / U, γ = {gamma}"}

    class Params(TTM.Params):
        beta: float = param(4.0, "weight β of the KD term", paper="another for each pair", ge=0)
        gamma: float = param(0.2, "exponent γ of the teacher's probabilities", paper="another for each pair", gt=0)

    params: Params

    def divergences(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """U_i·KL(q_i ‖ p_S,i) of each sample, [B]."""
        smoothness = (self.params.gamma * teacher_logits.log_softmax(dim=1)).exp().sum(dim=1)
        return smoothness * super().divergences(student_logits, teacher_logits)
