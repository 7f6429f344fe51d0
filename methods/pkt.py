"""Probabilistic knowledge transfer."""

import torch
from torch import Tensor

from kdbench.method import Batch, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm

#: The authors' guard of the norms and of the logarithm.
EPSILON = 1e-7


class PKT(WithKDTerm):
    """How likely one sample of the batch would pick another as its neighbour is the same in both networks.

    p_ij = k_ij / Σ_j k_ij with the cosine kernel k_ij = (cos(e_i, e_j) + 1)/2 of the embeddings e [B, D]:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·mean_ij p_ij^T·log((p_ij^T + ε)/(p_ij^S + ε)). No modules.
    """

    name = "pkt"
    citation = "Passalis, Tefas: Learning Deep Representations with Probabilistic Knowledge Transfer, ECCV 2018"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "pkt": "mean_ij p_ij^T·log(p_ij^T / p_ij^S), p_ij ∝ (cos(e_i, e_j) + 1)/2 with Σ_j p_ij = 1",
    }
    needs = Needs(student=("logits", "embedding"), teacher=("logits", "embedding"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller, mdistiller)", ge=0)
        beta: float = param(30000.0, "weight β of the neighbours' loss, which is a mean over all B² pairs", ge=0)

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"pkt": params.beta}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours, theirs = neighbours(student.embedding), neighbours(teacher.embedding)
        return {
            **self.kd_terms(student, teacher, batch),
            "pkt": (theirs * ((theirs + EPSILON) / (ours + EPSILON)).log()).mean(),
        }


def neighbours(embedding: Tensor) -> Tensor:
    """Conditional probabilities p_ij [B, B] of embeddings [B, D]; each row sums to 1."""
    unit = embedding / (torch.linalg.vector_norm(embedding, dim=1, keepdim=True) + EPSILON)
    # Rounding can bring a cosine below −1, and the logarithm above would then meet a negative number.
    kernel: Tensor = ((unit @ unit.T + 1) / 2).clamp_min(0)
    return kernel / kernel.sum(dim=1, keepdim=True)
