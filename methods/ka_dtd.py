"""Knowledge adjustment and dynamic temperatures together."""

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import cross_entropy

from kdbench.losses import kd
from kdbench.method import Batch
from kdbench.model import Outputs
from kdbench_methods.adjustment import AdjustmentParams, adjusted
from kdbench_methods.dtd import DTD, temperatures


class KADTD(DTD):
    """The adjusted teacher of KA at DTD's temperature for each sample.

    L = CE(z_S, y) + α·mean_i τ_i²·kl_i(A(p_T^{τ_i}) ‖ p_S^{τ_i}), A as in KA, τ_i as in DTD.
    τ_i is found before the teacher is adjusted.
    """

    name = "ka_dtd"
    formula = {
        "ce": "CE(z_S, y)",
        "kd": "mean_i τ_i²·kl_i(A(p_T^τ_i) ‖ p_S^τ_i), A = {adjust}, "
        "τ_i = {tau0} + (mean ω - ω_i)·β in [{tau_min}, {tau_max}], with τ_i²: {tau_squared}",
    }

    needs = replace(DTD.needs, class_indices=True)

    class Params(DTD.Params, AdjustmentParams):
        """DTD's, and how to adjust."""

    params: Params

    def terms(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.params
        tau = temperatures(student.logits.detach(), teacher.logits, p)
        corrected = adjusted(teacher.logits, batch.labels, tau, p)
        return {
            "ce": cross_entropy(student.logits, batch.labels),
            "kd": kd(student.logits, corrected, tau, tau_squared=p.tau_squared),
        }
