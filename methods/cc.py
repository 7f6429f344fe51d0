"""Correlation congruence."""

from torch import Tensor, nn

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs
from kdbench_methods.kd_term import KDTermParams, WithKDTerm


class CC(WithKDTerm):
    """The networks' difference at one sample is small where it is large at the next, as RepDistiller computes it.

    δ_i = |g_S(e_S,i) − g_T(e_T,i)| of linearly embedded vectors [B, d] (g_S and g_T both train):
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·mean_{i<B} δ_i·δ_{i+1}.
    The order of the batch matters, and the term is 0 for a batch of one.
    """

    name = "cc"
    citation = "Peng et al.: Correlation Congruence for Knowledge Distillation, ICCV 2019; form of RepDistiller's code"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "cc": "mean_i δ_i·δ_(i+1), δ_i = |g_S(e_S) − g_T(e_T)| in {dim} dimensions",
    }
    needs = Needs(student=("logits", "embedding"), teacher=("logits", "embedding"))

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (RepDistiller)", ge=0)
        beta: float = param(
            0.02,
            "weight β of the congruence loss",
            paper="compares B×B correlation matrices (Gaussian kernel); this form is the one behind the field's tables",
            ge=0,
        )
        dim: int = param(128, "dimensions d of the shared space", ge=1)

    params: Params

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"cc": params.beta}

    def setup(self, build: Build) -> None:
        self.embed_student = nn.Linear(build.student_shapes.embedding, self.params.dim)
        self.embed_teacher = nn.Linear(build.teacher_shapes.embedding, self.params.dim)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours = self.run(self.embed_student, student.embedding)
        theirs = self.run(self.embed_teacher, teacher.embedding)
        delta = (ours - theirs).abs()
        return {
            **self.kd_terms(student, teacher, batch),
            # A sum over a count that is at least 1, because a mean over no neighbours would be NaN.
            "cc": (delta[:-1] * delta[1:]).sum() / max(len(delta) - 1, 1),
        }
