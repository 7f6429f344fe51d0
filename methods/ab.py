"""Activation boundaries."""

import torch
from torch import Tensor, nn

from kdbench.method import Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.connectors import halving_sum
from kdbench_methods.fitnet import regressor
from kdbench_methods.initialised import Initialised
from kdbench_methods.mtkd_ssr import from_the_deep
from kdbench_methods.regressors import shrink

#: What the authors scale the sum over a sample's elements by.
SCALE = 3 / 1000


class AB(Initialised):
    """The student's neurons are first taught which of the teacher's are active, by a margin, and then to classify.

    P_l [B, C, H, W] is a stage's map before its ReLU, r_l a convolution and BN to the teacher's channels and size
    (FitNet's without ReLU; none where both are equal already), s = r_l(P_l^S), t = P_l^T, m the margin:
    L_feature = 0.003·Σ_l 2^(l−L)·mean_b Σ_chw [t ≤ 0, s > −m]·(s + m)² + [t > 0, s ≤ m]·(s − m)².
    L pairs of stages count from the deep end. For the first E₀ epochs L = β·L_feature, from then on
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ); E₀ is an eighth of the run's epochs.

    RepDistiller gives the first part 30 epochs before the run's 240, at the first learning rate and without the
    classifier in its optimizer, and its row has no KD term (α = 0). Here they are 30 of the 240, so that all methods
    train equally long.
    """

    name = "ab"
    citation = (
        "Heo, Lee, Yun, Choi: Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons, "
        "AAAI 2019"
    )
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "feature": "0.003·Σ_l 2^(l−L)·mean_b Σ [t ≤ 0, s > −m]·(s + m)² + [t > 0, s ≤ m]·(s − m)², m = {margin}",
    }
    needs = Needs(student=("logits", "preactivations"), teacher=("logits", "preactivations"), batch=("epoch",))

    class Params(Initialised.Params):
        margin: float = param(1.0, "margin m", gt=0)

    params: Params

    def setup(self, build: Build) -> None:
        super().setup(build)
        pairs = from_the_deep(build.student_shapes.stages, build.teacher_shapes.stages)
        self.connectors = nn.ModuleList(nn.Identity() if s == t else regressor(s, t, relu=False) for s, t in pairs)

    def feature(self, student: Outputs, teacher: Outputs) -> Tensor:
        pairs = from_the_deep(student.preactivations, teacher.preactivations)
        connected = [(self.run(r, p_s), p_t) for r, (p_s, p_t) in zip(self.connectors, pairs, strict=True)]
        return SCALE * halving_sum(
            [boundary_distance(ours, shrink(p_t, *ours.shape[2:]), self.params.margin) for ours, p_t in connected]
        )


def boundary_distance(ours: Tensor, theirs: Tensor, margin: float) -> Tensor:
    """mean_b Σ_chw of squared distances from the margin on the teacher's side of 0, of maps [B, C, H, W]."""
    active = theirs > 0
    wrong = torch.where(active, ours <= margin, ours > -margin)
    # Two differences, since a `where` of numbers would round them to float32.
    errors = torch.where(active, ours - margin, ours + margin)
    return torch.where(wrong, errors, 0).square().sum() / len(ours)
