"""Knowledge distillation with normalised logits."""

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch, Method, MethodParams, Needs, param
from kdbench.model import Outputs

#: Least temperature: constant logits, which the authors' code divides by 0, give a uniform prediction.
EPSILON = 1e-7


class NormKD(Method):
    """KD with a temperature for each sample and network: the standard deviation of its logits, times a constant.

    L = λ_CE·CE(z_S, y) + λ_KD·mean_i τ_T,i²·KL(softmax(z_T,i/τ_T,i) ‖ softmax(z_S,i/τ_S,i)), τ_i = T_norm·std(z_i) of
    the K logits [B, K] of a sample, with K − 1 in the denominator. τ_S's gradient is not cut. No modules.
    """

    name = "normkd"
    citation = "Chi et al.: NormKD: Normalized Logits for Knowledge Distillation, 2023"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "mean_i τ_T,i²·KL(p(z_T,i/τ_T,i) ‖ p(z_S,i/τ_S,i)), τ_i = {t_norm}·std of the sample's logits",
    }
    needs = Needs(student=("logits",), teacher=("logits",))

    class Params(MethodParams):
        ce_weight: float = param(0.1, "weight λ_CE of the labels' loss", ge=0)
        alpha: float = param(0.9, "weight λ_KD of the KD term", ge=0)
        t_norm: float = param(2.0, "temperature T_norm in standard deviations of the logits", gt=0)

    params: Params

    @classmethod
    def weights(cls, params: Params) -> dict[str, float]:
        return {"ce": params.ce_weight, "kd": params.alpha}

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        tau_s, tau_t = (temperatures(z, self.params.t_norm) for z in (student.logits, teacher.logits))
        divergences = kd(student.logits / tau_s, teacher.logits / tau_t, tau=1.0, reduction="none")
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": (tau_t.squeeze(1) ** 2 * divergences).mean(),
        }


def temperatures(logits: Tensor, t_norm: float) -> Tensor:
    """τ_i of each sample [B, 1] from logits [B, K]."""
    return (t_norm * logits.std(dim=1, keepdim=True)).clamp_min(EPSILON)
