"""Softmax regression representation learning."""

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from kdbench.method import Batch, Build, Needs, param
from kdbench.model import Outputs, spatial_mean
from kdbench_methods.connectors import connector
from kdbench_methods.kd_term import KDTermParams, WithKDTerm
from kdbench_methods.modules import Frozen, as_map


class SRRL(WithKDTerm):
    """The student's embedding, brought to the teacher's width, is to equal the teacher's and to mean the same to the
    teacher's classifier.

    F_S [B, C_S, H, W] enters the student's pooling, e_T [B, C_T] and W_T are the teacher's embedding and classifier,
    r is 1×1 - BN - ReLU, e = GAP r(F_S); means over all elements:
    L = CE(z_S, y) + α·τ²·KL(p_T^τ ‖ p_S^τ) + β·mean (e − e_T)² + γ·mean (W_T(e) − z_T)².
    W_T is frozen and dropped at deployment, as r is. The authors' code has no KD term (α = 0); SimKD's has.
    """

    name = "srrl"
    citation = (
        "Yang, Martinez, Bulat, Tzimiropoulos: Knowledge Distillation via Softmax Regression Representation Learning, "
        "ICLR 2021"
    )
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "τ²·KL(p_T^τ ‖ p_S^τ), τ = {tau}",
        "feature": "mean (e − e_T)², e from the student's {connect}",
        "regression": "mean (W_T(e) − z_T)², e from the student's {connect}, W_T the teacher's classifier",
    }

    class Params(KDTermParams):
        alpha: float = param(1.0, "weight α of the KD term", alternatives="0 (the authors' code)", ge=0)
        beta: float = param(1.0, "weight β of the feature loss", ge=0)
        gamma: float = param(1.0, "weight γ of the softmax regression's loss", ge=0)
        connect: Literal["map", "embedding"] = param(
            "map",
            "what r takes: the student's last map, pooled behind r",
            alternatives="embedding: the pooled vector, as in SimKD's code; fewer operations",
        )

    params: Params
    reads_teacher_logits = True

    @classmethod
    def caveat_for(cls, params: Params) -> str:
        return params.remark

    @classmethod
    def own_needs(cls, params: Params) -> Needs:
        tap: Literal["final_map", "embedding"] = "final_map" if params.connect == "map" else "embedding"
        return Needs(student=("logits", tap), teacher=("logits", "embedding"))

    @classmethod
    def own_weights(cls, params: Params) -> dict[str, float]:
        return {"feature": params.beta, "regression": params.gamma}

    def setup(self, build: Build) -> None:
        widths = build.student_shapes.embedding, build.teacher_shapes.embedding
        self.connector = nn.Sequential(*connector(*widths), nn.ReLU(inplace=True))
        self.classifier = Frozen(build.teacher.head.classifier)

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        ours = student.final_map if self.params.connect == "map" else as_map(student.embedding)
        embedding = spatial_mean(self.run(self.connector, ours))
        return {
            **self.kd_terms(student, teacher, batch),
            "feature": mse_loss(embedding, teacher.embedding),
            "regression": mse_loss(self.run(self.classifier.module, embedding), teacher.logits),
        }
