"""Attention transfer."""

from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from kdbench.method import Batch, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.regressors import shrink_larger


class AT(WithKDTerm):
    """The student's stages attend to the places that the teacher's attend to.

    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·Σ_j mean_{b,hw} (Q(f_S^j) - Q(f_T^j))², Q as in `attention` (Equation 2)
    j runs over the stages that both have, from the shallowest; the larger map [B, C, H, W] of a pair is average-pooled
    to the smaller before it is squared. Q has unit length, so its mean over places is small and β large. No modules.
    """

    name = "at"
    citation = "Zagoruyko, Komodakis: Paying More Attention to Attention, ICLR 2017"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "attention": "Σ_j mean (Q(f_S^j) - Q(f_T^j))², Q(f) = mean_c f² / ‖mean_c f²‖₂",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller)", ge=0)
        beta: float = param(1000.0, "weight β of the attention term", ge=0)

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"attention": params.beta}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        pairs = [shrink_larger(f_s, f_t) for f_s, f_t in zip(student.stages, teacher.stages, strict=False)]
        distances = [mse_loss(attention(f_s), attention(f_t)) for f_s, f_t in pairs]
        return {
            **self.kd_terms(student, teacher, batch),
            "attention": sum(distances),
        }


def attention(f: Tensor) -> Tensor:
    """Q(f) = mean_c f² as a vector of unit length for each sample, [B, C, H, W] → [B, H·W]."""
    # The sum has the mean's direction, and its gradient keeps the map's layout.
    return normalize(f.square().sum(dim=1).flatten(1), dim=1)
