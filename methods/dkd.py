"""Decoupled knowledge distillation."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs


class DKD(Method):
    """KD's divergence split into the target class against all others (TCKD) and the others among themselves (NCKD).

    b = (p_y, 1 − p_y) and p̂ = softmax over the K−1 classes other than y, both at temperature τ:
    L = CE(z_S, y) + w(epoch)·[α·τ²·KL(b_T ‖ b_S) + β·τ²·KL(p̂_T ‖ p̂_S)], w = min(epoch/warm-up, 1), epoch from 1.
    Logits [B, K]; no modules. Both divergences take logits: b is the softmax of (z_y, τ·logsumexp_{k≠y} z_k/τ), which
    stays finite where the logarithm of 1 − p_y would not.
    """

    name = "dkd"
    citation = "Zhao et al.: Decoupled Knowledge Distillation, CVPR 2022"
    formula = {
        "ce": "CE(z_S, y)",
        "tckd": "w·τ²·KL(b_T ‖ b_S), b = (p_y, 1 − p_y), τ = {tau}, w = min(epoch/{warmup_epochs}, 1)",
        "nckd": "w·τ²·KL(p̂_T ‖ p̂_S), p̂ = softmax over the other classes, τ = {tau}",
    }
    needs = Needs(student=("logits",), teacher=("logits",), batch=("epoch",), class_indices=True)

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the target class's term", ge=0)
        beta: float = param(
            8.0,
            "weight β of the other classes' term",
            alternatives="mdistiller's per-pair values: 8 ResNet32x4 and ShuffleNet pairs, 6 WRN→WRN and VGG13 pairs, "
            "2 ResNet56→20 and 110→32",
            ge=0,
        )
        tau: float = param(4.0, "temperature τ", gt=0)
        warmup_epochs: int = param(
            20, "epochs over which both terms grow linearly to full weight", alternatives="1: no warm-up", ge=1
        )

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "tckd": params.alpha, "nckd": params.beta}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        tau = self.params.tau
        warmup = (batch.epoch / self.params.warmup_epochs).clamp(max=1)
        binary_s, others_s = decouple(student.logits, batch.labels, tau)
        binary_t, others_t = decouple(teacher.logits, batch.labels, tau)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "tckd": warmup * kd(binary_s, binary_t, tau),
            "nckd": warmup * kd(others_s, others_t, tau),
        }


def decouple(logits: Tensor, labels: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Logits of (target, not target) [B, 2] and of the other classes [B, K-1]."""
    target = labels.unsqueeze(1)
    others = torch.arange(logits.shape[1] - 1, device=logits.device)
    others = logits.gather(1, others + (others >= target))
    not_target = tau * (others / tau).logsumexp(dim=1, keepdim=True)
    return torch.cat([logits.gather(1, target), not_target], dim=1), others
