"""Deeply-supervised knowledge synergy."""

from itertools import permutations
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Build, MethodParams, Needs, param
from kdbench.model import Outputs, Shapes
from kdbench_methods.deep_supervision import DeeplySupervised
from kdbench_methods.dks_heads import half_as_deep, twice_as_wide


class DKS(DeeplySupervised):
    """All classifiers of the student learn from the labels, and each from every other one, which gets no gradient.

    L = CE(z_L, y) + Σ_{l<L} CE(z_l, y) + α·Σ_{l≠m} τ²·KL(p_m^τ ‖ p_l^τ), over all L·(L-1) ordered pairs of classifiers
    Logits [B, K]; no teacher.

    The authors' code adds 10⁻⁸ to every probability of the divergence and divides by their sum; here the logarithms are
    exact. Its auxiliary classifiers are no copies of the main branch, as those are that all methods with auxiliary
    classifiers have here (`heads`).
    """

    name = "dks"
    citation = "Sun, Yao, Zhou, Zhao: Deeply-supervised Knowledge Synergy, CVPR 2019"
    formula = {
        "ce": "CE(z_L, y)",
        "ce_shallow": "Σ_l CE(z_l, y), l < L, heads: {heads}",
        "synergy": "Σ_lm τ²·KL(p_m^τ ‖ p_l^τ), l ≠ m, τ = {tau}, p_m without gradient, heads: {heads}",
    }
    needs = Needs(student=("logits", "stages"))

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the synergy", ge=0)
        tau: float = param(1.0, "temperature τ", alternatives="4: DSKD's comparison sets τ = 4 'for all methods'", gt=0)
        heads: Literal["branch", "authors"] = param(
            "branch",
            "auxiliary classifier: a copy of the main branch that follows, the same as in DSN, BYOT and DSKD",
            paper="heads of their own design",
            alternatives="authors: as their code has them for a WRN, for students of three stages: behind stage 1 with "
            "half of stage 3's blocks, behind stage 2 with a stage 3 of twice the width",
            added_later=True,
        )

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "ce_shallow": 1.0, "synergy": params.alpha}

    @classmethod
    def decline(cls, params: Any, student: Shapes, teacher: Shapes | None) -> str | None:
        if params.heads == "authors" and len(student.stages) != 3:
            return f"the authors' heads are for students of 3 stages, not {len(student.stages)}"
        return super().decline(params, student, teacher)

    def setup(self, build: Build) -> None:
        super().setup(build)
        if self.params.heads == "authors":
            half_as_deep(self.branches[0])
            twice_as_wide(self.branches[1], build.student_shapes.stages[1][0])

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        shallow = [head.logits for head in self.shallow(student)]
        pairs = permutations([*shallow, student.logits], 2)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "ce_shallow": sum(cross_entropy(z, batch.labels) for z in shallow),
            "synergy": sum(kd(learner, other.detach(), self.params.tau) for learner, other in pairs),
        }
