"""Similarity-preserving knowledge distillation."""

from torch import Tensor
from torch.nn.functional import normalize

from kdbench.method import Batch, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.regressors import FEATURE_OF, MapTap, last_map
from kdbench_methods.relations import gram


class SP(WithKDTerm):
    """Samples that are alike to the teacher shall be alike to the student.

    G = F·Fᵀ of the flattened last maps F [B, C·H·W], each row divided by its length, so [B, B] in both networks:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·‖G_T − G_S‖²_F / B². No modules; any sizes.
    """

    name = "sp"
    citation = "Tung, Mori: Similarity-Preserving Knowledge Distillation, ICCV 2019"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "sp": "‖G_T − G_S‖²_F / B², G = rows of F·Fᵀ at unit length, F = {tap}",
    }

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller, mdistiller)", ge=0)
        beta: float = param(3000.0, "weight β of the similarities' loss", ge=0)
        tap: MapTap = param(
            "last_stage", "the last map of both networks", alternatives="final_map (what enters global pooling)"
        )

    params: Params

    @classmethod
    def own_needs(cls, params: Params) -> Needs:
        features = ("logits", FEATURE_OF[params.tap])
        return Needs(student=features, teacher=features)

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"sp": params.beta}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours, theirs = (normalize(gram(last_map(outputs, self.params.tap))) for outputs in (student, teacher))
        return {
            **self.kd_terms(student, teacher, batch),
            "sp": (theirs - ours).square().mean(),
        }
