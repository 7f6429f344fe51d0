"""Variational information distillation."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.regressors import shrink_larger

#: Least variance.
EPSILON = 1e-5


class VID(WithKDTerm):
    """The student's stages predict the teacher's as the mean of a Gaussian with a learned variance per channel.

    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·Σ_j mean [½·((μ_j(f_S^j) - f_T^j)²/σ²_j + ln σ²_j)]
    σ²_j,c = ln(1 + e^{ρ_j,c}) + 1e-5. j runs over the stages that both have, from the shallowest; the larger map
    [B, C, H, W] of a pair is average-pooled to the smaller. The term is a log-likelihood and may become negative.
    """

    name = "vid"
    citation = "Ahn et al.: Variational Information Distillation for Knowledge Transfer, CVPR 2019"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "likelihood": "Σ_j mean [½·((μ_j(f_S^j) - f_T^j)²/σ²_j + ln σ²_j)]",
    }
    needs = Needs(student=("logits", "stages"), teacher=("logits", "stages"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller)", ge=0)
        beta: float = param(1.0, "weight β of the negative log-likelihood", ge=0)
        variance: float = param(5.0, "variance σ² at the start", gt=EPSILON)

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"likelihood": params.beta}

    def setup(self, build: Build) -> None:
        pairs = zip(build.student_shapes.stages, build.teacher_shapes.stages, strict=False)
        self.gaussians = nn.ModuleList(Gaussian(ours[0], theirs[0], self.params.variance) for ours, theirs in pairs)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        likelihood = []
        for gaussian, f_s, f_t in zip(self.gaussians, student.stages, teacher.stages, strict=False):
            f_s, f_t = shrink_larger(f_s, f_t)
            mean, variance = self.run(gaussian, f_s)
            # One variance a channel: errors are summed up before they are divided, a pass over a vector and not a map.
            errors = (mean - f_t).square().sum(dim=(0, 2, 3)) / mean[:, 0].numel()
            likelihood.append((0.5 * (errors / variance + variance.log())).mean())
        return {
            **self.kd_terms(student, teacher, batch),
            "likelihood": sum(likelihood),
        }


class Gaussian(nn.Module):
    """[B, C_S, H, W] → mean μ [B, C_T, H, W] by three 1×1 convolutions, and variance σ² [C_T] of its own."""

    def __init__(self, channels: int, target_channels: int, variance: float):
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv2d(channels, target_channels, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(target_channels, target_channels, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(target_channels, target_channels, 1, bias=False),
        )
        self.rho = nn.Parameter(torch.full((target_channels,), inverse_softplus(variance - EPSILON)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(x), softplus(self.rho) + EPSILON


def inverse_softplus(y: float) -> float:
    """The x with ln(1 + e^x) = y > 0."""
    return y + math.log(-math.expm1(-y))
