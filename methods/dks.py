"""Deeply-supervised knowledge synergy."""

from itertools import permutations

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, MethodParams, Needs, param
from kdbench.model import Outputs
from kdbench_methods.deep_supervision import DeeplySupervised


class DKS(DeeplySupervised):
    """All classifiers of the student learn from the labels, and each from every other one, which gets no gradient.

    L = CE(z_L, y) + Σ_{l<L} CE(z_l, y) + α·Σ_{l≠m} τ²·KL(p_m^τ ‖ p_l^τ), over all L·(L-1) ordered pairs of classifiers
    Logits [B, K]; no teacher.
    """

    name = "dks"
    citation = "Sun, Yao, Zhou, Zhao: Deeply-supervised Knowledge Synergy, CVPR 2019"
    formula = {
        "ce": "CE(z_L, y)",
        "ce_shallow": "Σ_l CE(z_l, y), l < L",
        "synergy": "Σ_lm τ²·KL(p_m^τ ‖ p_l^τ), l ≠ m, τ = {tau}, p_m without gradient",
    }
    needs = Needs(student=("logits", "stages"))

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the synergy", ge=0)
        tau: float = param(1.0, "temperature τ", alternatives="4: DSKD's comparison sets τ = 4 'for all methods'", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "ce_shallow": 1.0, "synergy": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        shallow = [head.logits for head in self.shallow(student)]
        pairs = permutations([*shallow, student.logits], 2)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "ce_shallow": sum(cross_entropy(z, batch.labels) for z in shallow),
            "synergy": sum(kd(learner, other.detach(), self.params.tau) for learner, other in pairs),
        }
