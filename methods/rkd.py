"""Relational knowledge distillation."""

from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from kdbench.method import Batch, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.relations import angles, differences, distances


class RKD(WithKDTerm):
    """Distances and angles between the embeddings of a batch are the same in both networks.

    ψ_D(i, j) = ‖e_i − e_j‖ / mean_{i≠j}‖e_i − e_j‖ and ψ_A(i, j, k) = cos ∠ at e_i between e_j and e_k; with the Huber
    loss h (threshold 1) and means over all B² pairs and B³ triples:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + λ_D·mean h(ψ_D^S − ψ_D^T) + λ_A·mean h(ψ_A^S − ψ_A^T). No modules.
    """

    name = "rkd"
    citation = "Park, Kim, Lu, Cho: Relational Knowledge Distillation, CVPR 2019"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "distance": "mean_ij h(ψ_D^S − ψ_D^T), ψ_D = ‖e_i − e_j‖ / mean ‖e_i − e_j‖, h = Huber",
        "angle": "mean_ijk h(ψ_A^S − ψ_A^T), ψ_A = cos of the angle at e_i between e_j and e_k, h = Huber",
    }
    needs = Needs(student=("logits", "embedding"), teacher=("logits", "embedding"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller, mdistiller)", ge=0)
        distance: float = param(25.0, "weight λ_D of the distances' loss", ge=0)
        angle: float = param(50.0, "weight λ_A of the angles' loss", ge=0)

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"distance": params.distance, "angle": params.angle}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours, theirs = differences(student.embedding), differences(teacher.embedding)
        return {
            **self.kd_terms(student, teacher, batch),
            "distance": smooth_l1_loss(distances(ours), distances(theirs)),
            "angle": smooth_l1_loss(angles(ours), angles(theirs)),
        }
