"""Dynamic temperature distillation."""

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softmax

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs

#: The parameter β where none is given: ω spreads far wider under cwsm.
BETA = {"flsw": 10.0, "cwsm": 0.1}


class DTD(Method):
    """KD with a temperature for each sample: the harder the sample, the lower.

    L = CE(z_S, y) + α·mean_i τ_i²·kl_i(p_T^{τ_i} ‖ p_S^{τ_i}),  τ_i = clamp(τ0 + (mean_batch ω - ω_i)·β)
    ω_i = (1 - v_i·t_i)^γ with unit vectors v, t of the student's and teacher's logits (flsw), or
    ω_i = 1 / (max softmax(z_S,i) + 1e-3) (cwsm). Logits [B, K]; τ_i [B] gets no gradient. No modules.
    """

    name = "dtd"
    citation = "Wen, Lai, Qian: Preparing Lessons: Improve Knowledge Distillation with Better Supervision, 2019"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "mean_i τ_i²·kl_i(p_T^τ_i ‖ p_S^τ_i), τ_i = {tau0} + (mean ω - ω_i)·β in [{tau_min}, {tau_max}], "
        "with τ_i²: {tau_squared}",
    }
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        alpha: float = param(1.0, "weight α of the KD term", ge=0)
        weighting: Literal["flsw", "cwsm"] = param(
            "flsw",
            "what makes a sample hard: flsw, student and teacher differ",
            alternatives="cwsm: the student is not confident",
        )
        tau0: float = param(4.0, "mean temperature τ0", gt=0)
        beta: float | None = param(
            None,
            "spread β of the temperatures; none: 10 for flsw, 0.1 for cwsm",
            paper="not known; public code has 1 to 80",
            ge=0,
        )
        gamma: float = param(1.0, "exponent γ of flsw", paper="not known; public code has 0.25 to 2", gt=0)
        features: Literal["logits", "probabilities"] = param(
            "logits",
            "what flsw multiplies: logits scaled to unit length",
            alternatives="probabilities: softmax at temperature 1, unscaled",
        )
        tau_min: float = param(1.0, "least temperature; without it β may turn τ_i negative", gt=0)
        tau_max: float = param(20.0, "greatest temperature", gt=0)
        tau_squared: bool = param(
            True, "multiply each divergence by τ_i²", paper="not known", alternatives="false (TextBrewer)"
        )

        @model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.tau_min > self.tau_max:
                raise ValueError(f"tau_min {self.tau_min} is greater than tau_max {self.tau_max}")
            return self

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": 1.0, "kd": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        tau = temperatures(student.logits.detach(), teacher.logits, self.params)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": kd(student.logits, teacher.logits, tau, tau_squared=self.params.tau_squared),
        }


def temperatures(student_logits: Tensor, teacher_logits: Tensor, params: DTD.Params) -> Tensor:
    """τ_i of each sample [B] from logits [B, K]."""
    omega = DIFFICULTIES[params.weighting](student_logits, teacher_logits, params)
    beta = BETA[params.weighting] if params.beta is None else params.beta
    return (params.tau0 + (omega.mean() - omega) * beta).clamp(params.tau_min, params.tau_max)


def flsw(student_logits: Tensor, teacher_logits: Tensor, params: DTD.Params) -> Tensor:
    """Focal loss style: ω_i = (1 - v_i·t_i)^γ [B]; rounding below 0 would make a fractional power NaN."""
    scale = {"logits": normalize, "probabilities": softmax}[params.features]
    return (1 - (scale(student_logits, dim=1) * scale(teacher_logits, dim=1)).sum(dim=1)).clamp(min=0) ** params.gamma


def cwsm(student_logits: Tensor, teacher_logits: Tensor, params: DTD.Params) -> Tensor:
    """Confidence weighted by the student's maximum: ω_i = 1 / (max softmax(z_S,i) + 1e-3) [B]."""
    return 1 / (softmax(student_logits, dim=1).amax(dim=1) + 1e-3)


DIFFICULTIES = {"flsw": flsw, "cwsm": cwsm}
