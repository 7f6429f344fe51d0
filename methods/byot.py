"""Be your own teacher: self-distillation from the deepest classifier."""

from typing import Literal

from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, MethodParams, Needs, param
from kdbench.model import Outputs
from kdbench_methods.deep_supervision import DeeplySupervised


class BYOT(DeeplySupervised):
    """Auxiliary classifiers learn from the labels and from the student's own last classifier, which gets no gradient.

    L = CE(z_L, y) + Σ_{l<L} [(1-α)·CE(z_l, y) + α·τ²·KL(p_L^τ ‖ p_l^τ) + λ·mean_i ‖F_l,i - F_L,i‖₂²]
    Logits [B, K]; F_l [B, D] is classifier l's pooled vector, as wide as F_L because l is a copy. No teacher.
    """

    name = "byot"
    citation = "Zhang et al.: Be Your Own Teacher, ICCV 2019"
    formula = {
        "ce": "CE(z_L, y)",
        "ce_shallow": "Σ_l CE(z_l, y), l < L",
        "kd_shallow": "Σ_l τ²·KL(p_L^τ ‖ p_l^τ), l < L, τ = {tau}, with τ²: {tau_squared}, p_L without gradient",
        "hint": "Σ_l {distance} distance of F_l and F_L, l < L, F_L without gradient",
    }
    needs = Needs(student=("logits", "stages", "embedding"))

    class Params(MethodParams):
        alpha: float = param(
            0.3, "share α of the last classifier's predictions, 1-α that of the labels", alternatives="0.1", ge=0, le=1
        )
        lam: float = param(1e-4, "weight λ of the pooled vectors' loss", alternatives="0.03 with distance norm", ge=0)
        tau: float = param(
            4.0,
            "temperature τ",
            paper="DSKD's comparison: τ = 4 'for all methods'",
            alternatives="3 (both codes)",
            gt=0,
        )
        tau_squared: bool = param(
            True, "multiply the divergence by τ²", alternatives="false, as in the authors' later code"
        )
        distance: Literal["squared", "norm"] = param(
            "squared",
            "distance of the pooled vectors: summed squares of a sample, averaged over the batch",
            alternatives="norm: the root of the squares summed over the whole batch, as in the authors' later code",
        )

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "ce_shallow": 1.0 - params.alpha, "kd_shallow": params.alpha, "hint": params.lam}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        shallow = self.shallow(student)
        last, last_embedding = student.logits.detach(), student.embedding.detach()
        distance = DISTANCES[p.distance]
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "ce_shallow": sum(cross_entropy(head.logits, batch.labels) for head in shallow),
            "kd_shallow": sum(kd(head.logits, last, p.tau, tau_squared=p.tau_squared) for head in shallow),
            "hint": sum(distance(head.embedding - last_embedding) for head in shallow),
        }


def squared(difference: Tensor) -> Tensor:
    """mean_i Σ_c d_i,c² of [B, D]."""
    return difference.square().sum(dim=1).mean()


#: `vector_norm` over the whole batch; its gradient at 0 is 0.
DISTANCES = {"squared": squared, "norm": vector_norm}
