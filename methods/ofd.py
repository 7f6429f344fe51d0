"""Overhaul of feature distillation."""

import math

import torch
from torch import Tensor, nn

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.connectors import connector, halving_sum
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.modules import resized
from kdbench_methods.mtkd_ssr import from_the_deep

#: Probability of a negative value below which a channel's margin is `SURELY_POSITIVE` standard deviations below 0.
RARELY = 0.001
SURELY_POSITIVE = 3.0


class OFD(WithKDTerm):
    """The student's maps before the ReLU follow the teacher's where these are positive, and stay low where not.

    P_l [B, C, H, W] is a stage's map before its ReLU, r_l is 1×1 - BN, and m_l the margin of each of the teacher's
    channels, m = E[x | x < 0] for x ~ N(bias, weight²) of the batch norm that P_l^T comes from. With T = max(P^T, m):
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·Σ_l 2^(l−L)·mean_b Σ_chw [T > 0 or r(P^S) > T]·(r(P^S) − T)².
    L pairs of stages count from the deep end; the teacher's map is brought to the student's size by averaging. Where
    its channels come from no one batch norm (ShuffleNetV2), m is the batch's mean of P_l^T where that is negative.

    As mdistiller computes it, but that its margins are those of the shallowest stages where the student has fewer. The
    authors' code has the teacher's batch norms in training mode. Neither has a KD term (α = 0).
    """

    name = "ofd"
    citation = "Heo et al.: A Comprehensive Overhaul of Feature Distillation, ICCV 2019"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "feature": "Σ_l 2^(l−L)·mean_b Σ [T > 0 or r(P_S) > T]·(r(P_S) − T)², T = max(P_T, margin), P before the ReLU",
    }
    needs = Needs(student=("logits", "preactivations"), teacher=("logits", "preactivations"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (the authors' code, mdistiller)", ge=0)
        beta: float = param(0.001, "weight β of the features' distance, a sum over a sample's elements", ge=0)

    params: Params

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"feature": params.beta}

    def setup(self, build: Build) -> None:
        pairs = list(from_the_deep(build.student_shapes.stages, build.teacher_shapes.stages))
        self.connectors = nn.ModuleList(connector(ours[0], theirs[0]) for ours, theirs in pairs)
        norms = build.teacher.preactivation_norms[-len(pairs) :]
        self.margins = nn.ModuleList(NormMargin(norm) if norm else BatchMargin() for norm in norms)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        distances = []
        pairs = from_the_deep(student.preactivations, teacher.preactivations)
        for connect, margin, (p_s, p_t) in zip(self.connectors, self.margins, pairs, strict=True):
            target = torch.maximum(resized(p_t, p_s.shape[2:]), margin(p_t)[:, None, None])
            distances.append(partial_distance(self.run(connect, p_s), target))
        return {
            **self.kd_terms(student, teacher, batch),
            "feature": halving_sum(distances),
        }


def partial_distance(ours: Tensor, target: Tensor) -> Tensor:
    """mean_b Σ_chw (s − t)² of maps [B, C, H, W], without the places where t ≤ 0 and s is lower still."""
    counts = (target > 0) | (ours > target)
    return torch.where(counts, ours - target, 0).square().sum() / len(ours)


class NormMargin(nn.Module):
    """E[x | x < 0] of each channel [C], x ~ N(bias, weight²) of a batch norm.

    It is −3·|weight| where less than 0.1 % of x are negative.
    """

    margin: Tensor

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        with torch.no_grad():
            std, mean = norm.weight.double().abs().clamp_min(torch.finfo(torch.float32).tiny), norm.bias.double()
            ratio = mean / std
            negative = torch.special.ndtr(-ratio)
            density = (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)
            margin = torch.where(negative > RARELY, mean - std * density / negative, -SURELY_POSITIVE * std)
        self.register_buffer("margin", margin.to(norm.weight.dtype), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.margin


class BatchMargin(nn.Module):
    """The mean of what is negative in each channel [C] of a batch's maps [B, C, H, W]; 0 where nothing is."""

    def forward(self, maps: Tensor) -> Tensor:
        below = maps.clamp(max=0)
        return below.sum(dim=(0, 2, 3)) / (maps < 0).sum(dim=(0, 2, 3)).clamp_min(1)
