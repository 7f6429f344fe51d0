"""Normalised knowledge distillation."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs
from kdbench_methods.dkd import decouple


class NKD(Method):
    """The label's loss again, as sure as the teacher is of it, and the other classes among themselves.

    p̂ = softmax over the K−1 classes other than y, at temperature τ; p [B, K] at temperature 1:
    L = CE(z_S, y) − α·mean_i p_T,i,y·ln p_S,i,y − γ·τ²·mean_i Σ_{k≠y} p̂_T,i,k·ln p̂_S,i,k. No modules.
    Cross-entropies, not divergences: equal networks still have a loss, which has no gradient among the other classes.
    The defaults are the authors' for CIFAR-100.
    """

    name = "nkd"
    citation = "Yang, Zeng, Yuan, Li: From Knowledge Distillation to Self-Knowledge Distillation, ICCV 2023"
    formula = {
        "ce": "CE(z_S, y)",
        "target": "−mean p_T,y·ln p_S,y",
        "others": "−τ²·mean Σ_k p̂_T,k·ln p̂_S,k, p̂ = softmax over the other classes, τ = {tau}",
    }
    needs = Needs(student=("logits",), teacher=("logits",), class_indices=True)

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the label's term", ge=0)
        gamma: float = param(
            3.5, "weight γ of the other classes' term", alternatives="1.5: the authors' for ImageNet", ge=0
        )
        tau: float = param(3.0, "temperature τ of the other classes", alternatives="1: the authors' for ImageNet", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "target": params.alpha, "others": params.gamma}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        tau = self.params.tau
        losses = cross_entropy(student.logits, batch.labels, reduction="none")
        sureness = teacher.logits.softmax(dim=1).gather(1, batch.labels.unsqueeze(1)).squeeze(1)
        (_, ours), (_, theirs) = (decouple(z, batch.labels, tau) for z in (student.logits, teacher.logits))
        return {
            "ce": losses.mean(),
            "target": (sureness * losses).mean(),
            "others": tau**2 * cross_entropy(ours / tau, (theirs / tau).softmax(dim=1)),
        }
