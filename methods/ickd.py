"""Inter-channel correlation."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm


class ICKD(WithKDTerm):
    """The channels of the student's last stage are alike where the teacher's are.

    G(F) [B, C, C] holds the inner products of a map's channels, each row at unit length, and r is 1×1 - BN to the
    teacher's C_T channels:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·1/(B·C_T)·Σ (G(r(F_S)) − G(F_T))².
    The maps need not be of one size, since places are summed over. F is the last stage's end, in a WRN the raw sum. The
    authors publish rows with the KD term (α = 1) and without.
    """

    name = "ickd"
    citation = (
        "Liu et al.: Exploring Inter-Channel Correlation for Diversity-Preserved Knowledge Distillation, ICCV 2021"
    )
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "correlation": "mean over rows of ‖G(r(F_S)) − G(F_T)‖², G the channels' products, rows of length 1",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (the authors' row without KL)", ge=0)
        beta: float = param(2.5, "weight β of the correlations' distance", ge=0)

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"correlation": params.beta}

    def setup(self, build: Build) -> None:
        channels, target = build.student_shapes.stages[-1][0], build.teacher_shapes.stages[-1][0]
        self.regressor = nn.Sequential(nn.Conv2d(channels, target, 1, bias=False), nn.BatchNorm2d(target))

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours, theirs = self.run(self.regressor, student.stages[-1]), teacher.stages[-1]
        return {
            **self.kd_terms(student, teacher, batch),
            "correlation": (correlations(ours) - correlations(theirs)).square().sum(dim=2).mean(),
        }


def correlations(f: Tensor) -> Tensor:
    """Inner products of a map's channels, each row at unit length, [B, C, H, W] → [B, C, C]."""
    rows = f.flatten(2)
    return normalize(torch.bmm(rows, rows.mT), dim=2)
